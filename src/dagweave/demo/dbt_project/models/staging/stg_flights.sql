-- One row per scheduled departure, typed and named; times are minutes after midnight, local.
select
    make_date(year, month, day) as flight_date,
    carrier as carrier_code,
    flight as flight_number,
    tailnum as tail_number,
    origin,
    dest as destination,
    (sched_dep_time // 100) * 60 + sched_dep_time % 100 as scheduled_departure_minute,
    dep_delay as departure_delay_minutes,
    arr_delay as arrival_delay_minutes,
    air_time as air_minutes,
    distance as distance_miles,
    dep_time is null as is_cancelled,
    date_trunc('hour', time_hour) as departure_hour
from {{ source('nyc', 'flights') }}
