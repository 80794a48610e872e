select
    tail_number,
    manufacturer,
    model,
    seats,
    built_in,
    2013 - built_in as age_years
from {{ ref('stg_planes') }}
