select id, name, upper(name) as shouted from {{ ref('stg_customers') }}
