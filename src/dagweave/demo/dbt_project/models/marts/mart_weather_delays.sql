select
    case
        when rain_inches > 0.1 then 'heavy rain'
        when rain_inches > 0 then 'rain'
        when visibility_miles < 3 then 'fog'
        else 'clear'
    end as weather,
    count(*) as flights,
    avg(departure_delay_minutes) as mean_departure_delay_minutes
from {{ ref('fct_flights') }}
group by 1
