-- One row per airport and hour; the source repeats an hour when summer time ends.
select
    origin as airport_code,
    date_trunc('hour', time_hour) as observed_hour,
    avg(temp) as temperature_f,
    avg(wind_speed) as wind_mph,
    sum(precip) as rain_inches,
    avg(visib) as visibility_miles
from {{ source('nyc', 'weather') }}
group by 1, 2
