-- Every departure that was loaded is in the fact table, once.
{{ config(meta={"dagster": {"ref": {"name": "fct_flights"}}}) }}
with counts as (
    select
        (select count(*) from {{ ref('stg_flights') }}) as loaded,
        (select count(*) from {{ ref('fct_flights') }}) as kept
)

select *
from counts
where loaded <> kept
