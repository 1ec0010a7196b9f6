-- What the apps have set.
-- Returns a row for each app.
select app, login_mode, on_conflict, session_caps, policy_no, read_receipts, system_no from apps order by app
