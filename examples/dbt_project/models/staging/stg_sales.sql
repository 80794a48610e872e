select
    cast(sold_on as date) as sold_on,
    lower(drink) as drink,
    price_cents / 100 as price
from {{ source('till', 'sales') }}
