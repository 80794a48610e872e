select id, customer_id, amount, ordered_on
from {{ source('raw', 'orders') }}
{% if var('broken') %} where no_such_column {% endif %}
{% if var('bad_rows') %} union all select null, 99, -1, date '2024-01-02' {% endif %}
