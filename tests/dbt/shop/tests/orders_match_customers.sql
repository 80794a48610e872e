select o.id from {{ ref('orders') }} o anti join {{ ref('stg_customers') }} c on c.id = o.customer_id
