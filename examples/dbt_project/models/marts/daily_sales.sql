select
    sold_on,
    drink,
    count(*) as cups,
    sum(price) as revenue
from {{ ref('stg_sales') }}
group by sold_on, drink
