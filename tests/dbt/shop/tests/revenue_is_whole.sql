{{ config(meta={"dagster": {"ref": {"name": "revenue"}}}) }}
select 1 from (select sum(revenue) as r from {{ ref('revenue') }}) a, (select sum(amount) as r from {{ ref('orders') }}) b
where a.r <> b.r
