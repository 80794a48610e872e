select 1 from {{ ref('orders') }} where amount < -100
