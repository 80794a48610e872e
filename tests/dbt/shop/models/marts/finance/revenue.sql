{{ config(materialized='incremental', unique_key='customer_id', schema='finance') }}
select customer_id, sum(amount) as revenue from {{ ref('orders') }} group by all
