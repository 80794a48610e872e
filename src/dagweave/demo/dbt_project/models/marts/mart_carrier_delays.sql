select
    carrier_code,
    carrier_name,
    count(*) as flights,
    avg(departure_delay_minutes) as mean_departure_delay_minutes,
    avg(case when is_cancelled then 1.0 else 0.0 end) as cancelled_share
from {{ ref('fct_flights') }}
group by 1, 2
{% if var('break') %}
-- `dagweave demo --break`: every carrier is counted twice.
union all
select carrier_code, carrier_name, count(*), avg(departure_delay_minutes), 0
from {{ ref('fct_flights') }}
group by 1, 2
{% endif %}
