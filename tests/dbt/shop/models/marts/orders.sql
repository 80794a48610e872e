select *, cast('{{ var("run_date") }}' as date) as run_date from {{ ref('int_orders') }}
