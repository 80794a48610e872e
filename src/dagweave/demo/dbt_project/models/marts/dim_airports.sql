select
    airports.airport_code,
    airports.airport_name,
    airports.time_zone,
    count(flights.flight_number) as flights_from_new_york
from {{ ref('stg_airports') }} as airports
left join {{ ref('stg_flights') }} as flights on flights.destination = airports.airport_code
group by 1, 2, 3
