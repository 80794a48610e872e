-- One row per scheduled departure, with its airline, plane and the weather at that hour.
select
    flights.flight_date,
    flights.carrier_code,
    airlines.carrier_name,
    flights.flight_number,
    flights.tail_number,
    planes.seats,
    planes.age_years as plane_age_years,
    flights.origin,
    flights.destination,
    flights.departure_delay_minutes,
    flights.arrival_delay_minutes,
    flights.distance_miles,
    flights.is_cancelled,
    weather.rain_inches,
    weather.wind_mph,
    weather.visibility_miles
from {{ ref('stg_flights') }} as flights
inner join {{ ref('stg_airlines') }} as airlines using (carrier_code)
left join {{ ref('dim_planes') }} as planes using (tail_number)
left join {{ ref('stg_weather') }} as weather
    on weather.airport_code = flights.origin and weather.observed_hour = flights.departure_hour
