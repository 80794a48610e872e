select o.*, c.name as customer
from {{ ref('stg_orders') }} o left join {{ ref('stg_customers') }} c on c.id = o.customer_id
