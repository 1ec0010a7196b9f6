//! Statements with faults on purpose. Compiled only with the feature `sabotage`.

/// A statement as the fault of this process has it.
pub(crate) fn statement(sql: &str) -> String {
    let mut sql = sql.to_owned();
    if sabotaged!(NoEpochCheck) {
        let right = "(o.shard, o.epoch) in (select shard, epoch from batch)";
        sql = sql.replace(right, "o.shard in (select shard from batch)");
    }
    if sabotaged!(KeyShare) {
        sql = sql.replace("for share", "for key share");
    }
    if sabotaged!(DedupInMemory) {
        sql = sql.replace("where d.day = p.day", "where false and d.day = p.day");
        let remembered = "message_id, send_hash\n  from posts where";
        sql = sql.replace(remembered, &format!("{remembered} false and"));
    }
    if sabotaged!(FallingCursors) {
        let right = "greatest(h.read, least(w.read, h.head))";
        sql = sql.replace(right, "case when w.read > 0 then least(w.read, h.head) else h.read end");
    }
    sql
}
