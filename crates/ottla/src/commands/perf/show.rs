//! Reports as tables for people, and as one JSON object a line for programs.

use comfy_table::Table;
use ottla_perf::audit::AuditReport;
use ottla_perf::commits::{CommitsReport, CommittedReport};
use ottla_perf::connections::ConnectionsReport;
use ottla_perf::end_to_end::EndToEndReport;
use ottla_perf::history::{CheckReport, HistoryReport};
use ottla_perf::ledger::LedgerReport;
use ottla_perf::membership::{GroupReport, Protocol};
use ottla_perf::ready::ReadyReport;
use ottla_perf::transactions::{TransactionVersion, TransactionsReport};
use ottla_perf::{BrokerCost, LatencyMs, LoadReport};
use serde::Serialize;

use crate::error::CliError;
use crate::output::{Output, table};

/// That the yardstick server is there.
#[derive(Debug, Serialize)]
pub struct Listening {
    pub work: &'static str,
    pub address: String,
    pub process_id: u32,
}

/// A figure, its value, and what it comes to by the second or by the piece.
type Row = [String; 3];

/// Prints a report as it is, or as the rows it comes to.
pub fn report(out: &mut Output, json: bool, report: &impl Serialize, rows: impl FnOnce() -> Vec<Row>) -> Result<(), CliError> {
    if json {
        return out.json(report);
    }
    let mut lines: Table = table(&["FIGURE", "VALUE", "RATE"]);
    for row in rows() {
        lines.add_row(row);
    }
    out.table(&lines)
}

pub fn load(report: &LoadReport) -> Vec<Row> {
    let mut rows = vec![
        row("work", format!("{}, {} client", report.work, report.client), ""),
        row("topic", format!("{}, {} partitions", report.topic, report.partitions), ""),
        row("connections", report.connections, ""),
        row("time", format!("{:.2} s", report.seconds), ""),
        row("data", format!("{:.1} MiB", mib(report.bytes)), format!("{:.1} MiB/s", report.mib_per_s)),
        row("records", report.records, format!("{:.0}/s", report.records_per_s)),
    ];
    if let (Some(requests), Some(rate)) = (report.requests, report.requests_per_s) {
        rows.push(row("requests", requests, format!("{rate:.0}/s")));
    }
    rows.extend(latency("latency", report.latency_ms));
    rows.extend(broker(report.broker));
    rows
}

pub fn end_to_end(report: &EndToEndReport) -> Vec<Row> {
    let mut rows = vec![
        row("topic", format!("{}, {} partitions", report.topic, report.partitions), ""),
        row("time", format!("{:.2} s", report.seconds), ""),
        row("records", report.records, format!("{}/s", report.rate_per_s)),
    ];
    rows.extend(latency("end to end", report.latency_ms));
    rows.extend(latency("to the ack", report.ack_latency_ms));
    rows.extend(broker(report.broker));
    rows
}

pub fn connections(report: &ConnectionsReport) -> Vec<Row> {
    let mut rows = vec![
        row("held", report.held, ""),
        row("opened in", format!("{:.2} s", report.opened_seconds), format!("{:.0}/s", report.held as f64 / report.opened_seconds)),
    ];
    if let (Some(before), Some(held), Some(each)) = (report.rss_before_mib, report.rss_held_mib, report.rss_kib_per_connection) {
        rows.push(row("broker memory before", format!("{before:.1} MiB"), ""));
        rows.push(row("broker memory held", format!("{held:.1} MiB"), format!("{each:.1} KiB each")));
    }
    rows
}

pub fn ready(report: &ReadyReport) -> Vec<Row> {
    vec![
        row("topic", &report.topic, ""),
        row("partitions led", report.partitions, ""),
        row("took a record and gave it back", report.tried, ""),
        row("ready after", format!("{:.3} s", report.seconds), ""),
    ]
}

pub fn commits(report: &CommitsReport) -> Vec<Row> {
    let mut rows = vec![
        row("topic", &report.topic, ""),
        row("groups", format!("{}, {} offsets a commit", report.groups, report.partitions), ""),
        row("connections", report.connections, ""),
        row("time", format!("{:.2} s", report.seconds), ""),
        row("commits", report.commits, format!("{:.0}/s", report.commits_per_s)),
        row("offsets", report.offsets, format!("{:.0}/s", report.offsets_per_s)),
    ];
    rows.extend(latency("latency", report.latency_ms));
    rows.extend(broker(report.broker));
    rows
}

pub fn committed(report: &CommittedReport) -> Vec<Row> {
    vec![
        row("topic", &report.topic, ""),
        row("groups served", report.groups, ""),
        row("time to the first", format!("{:.3} s", report.first_seconds), ""),
        row("time to the last", format!("{:.3} s", report.seconds), ""),
    ]
}

pub fn group(report: &GroupReport) -> Vec<Row> {
    let protocol = match report.protocol {
        Protocol::Classic => "classic",
        Protocol::Consumer => "consumer",
    };
    let cost = |when: &str, cost: Option<BrokerCost>| {
        cost.map(|cost| row(format!("broker processor time, {when}"), format!("{:.2} s", cost.cpu_s), ""))
    };
    let mut rows = vec![
        row("members", format!("{}, by the {protocol} protocol", report.members), ""),
        row("partitions", report.partitions, ""),
        row("until all have joined", format!("{:.3} s", report.joined_seconds), format!("generation {}", report.joined_generation)),
        row("after one has left", format!("{:.3} s", report.left_seconds), format!("generation {}", report.left_generation)),
    ];
    rows.extend(cost("joining", report.joined_broker));
    rows.extend(cost("leaving", report.left_broker));
    rows.extend(report.left_broker.map(|cost| row("broker memory", format!("{:.1} MiB", cost.rss_mib), "")));
    rows
}

pub fn transactions(report: &TransactionsReport) -> Vec<Row> {
    let version = match report.version {
        TransactionVersion::One => 1,
        TransactionVersion::Two => 2,
    };
    let mut rows = vec![
        row("topic", &report.topic, ""),
        row("producers", format!("{}, transaction version {version}", report.producers), ""),
        row("time", format!("{:.2} s", report.seconds), ""),
        row("transactions", report.transactions, format!("{:.0}/s", report.transactions_per_s)),
        row("records", report.records, ""),
        row("requests repeated", report.repeated, ""),
    ];
    rows.extend(latency("latency", report.latency_ms));
    rows.extend(broker(report.broker));
    rows
}

pub fn ledger(report: &LedgerReport) -> Vec<Row> {
    vec![
        row("topic", format!("{}, {} partitions", report.topic, report.partitions), ""),
        row("acknowledged", report.acknowledged, ""),
        row("sent again", report.resent, ""),
        row("longest wait for an ack", format!("{} ms", report.longest_ack_gap_ms), ""),
        row("partitions without any", report.silent_partitions, ""),
    ]
}

pub fn audit(report: &AuditReport) -> Vec<Row> {
    let mut rows = vec![
        row("topic", &report.topic, ""),
        row("acknowledged", report.acknowledged, ""),
        row("read", report.read, ""),
        row("lost", report.lost, ""),
        row("moved", report.moved, ""),
        row("changed", report.changed, ""),
        row("out of order", report.out_of_order, ""),
        row("damaged batches", report.damaged_batches, ""),
        row("gaps in offsets", report.offset_gaps, ""),
        row("duplicates", report.duplicates, ""),
        row("not acknowledged, but there", report.unacknowledged, ""),
        row("others' records", report.foreign, ""),
    ];
    rows.extend(report.findings.iter().map(|finding| row("found", finding, "")));
    rows
}

pub fn history(report: &HistoryReport) -> Vec<Row> {
    let mut rows = vec![
        row("topic", &report.topic, ""),
        row("transactional id", &report.transactional_id, ""),
        row("committed", report.committed, ""),
        row("not committed", report.aborted, ""),
        row("not known", report.unknown, ""),
    ];
    rows.push(row("producers lost", report.producers_lost, ""));
    rows.extend(report.lost_by.iter().map(|why| row("the last by", why, "")));
    rows.extend(report.ended_by.iter().map(|why| row("ended early", why, "")));
    rows
}

pub fn history_check(report: &CheckReport) -> Vec<Row> {
    let found = &report.findings;
    let mut rows = vec![
        row("topic", &report.topic, ""),
        row("committed", report.committed, ""),
        row("not committed", report.aborted, ""),
        row("not known", format!("{}, {} of them there", report.unknown, report.unknown_there), ""),
        row("of these, moving", report.moves, ""),
        row("values", report.values, ""),
        row("values not committed", report.values_hidden, ""),
        row("acknowledged", report.acknowledged, ""),
        row("lost", found.lost, ""),
        row("doubled", found.doubled, ""),
        row("aborted, and seen", found.aborted_read, ""),
        row("torn", found.torn, ""),
        row("out of order", found.out_of_order, ""),
        row("at other offsets", found.displaced, ""),
        row("of nobody", found.strange, ""),
        row("not moved", found.unmoved, ""),
        row("moved twice", found.moved_twice, ""),
        row("moved from nothing", found.from_nothing, ""),
        row("partitions held up", found.held_up, ""),
    ];
    rows.extend(found.told.iter().map(|finding| row("found", finding, "")));
    rows
}

fn latency(of: &str, latency: Option<LatencyMs>) -> Vec<Row> {
    let Some(latency) = latency else { return Vec::new() };
    let one = |name: &str, ms: f64| row(format!("{of} {name}"), format!("{ms:.2} ms"), "");
    vec![one("p50", latency.p50), one("p90", latency.p90), one("p99", latency.p99), one("p99.9", latency.p999), one("max", latency.max)]
}

fn broker(cost: Option<BrokerCost>) -> Vec<Row> {
    let Some(cost) = cost else { return Vec::new() };
    let by_gib = cost.cpu_s_per_gib.map(|cost| format!("{cost:.2} s/GiB"));
    let by_request = cost.cpu_us_per_request.map(|cost| format!("{cost:.1} µs/request"));
    let rate = by_gib.into_iter().chain(by_request).collect::<Vec<_>>().join(", ");
    vec![
        row("broker processor time", format!("{:.2} s", cost.cpu_s), rate),
        row("broker memory", format!("{:.1} MiB", cost.rss_mib), ""),
        row("broker threads", cost.threads, ""),
    ]
}

fn row(figure: impl ToString, value: impl ToString, rate: impl ToString) -> Row {
    [figure.to_string(), value.to_string(), rate.to_string()]
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn latency_ms() -> LatencyMs {
        LatencyMs { count: 5, mean: 1.5, p50: 1.0, p90: 2.0, p99: 3.0, p999: 4.0, max: 5.0 }
    }

    fn load_report() -> LoadReport {
        LoadReport {
            work: "produce",
            client: "raw",
            topic: "t".to_owned(),
            partitions: 6,
            connections: 2,
            seconds: 2.0,
            bytes: 1 << 20,
            records: 10,
            requests: Some(5),
            mib_per_s: 0.5,
            records_per_s: 5.0,
            requests_per_s: Some(2.5),
            latency_ms: Some(latency_ms()),
            broker: Some(BrokerCost { cpu_s: 0.25, cpu_s_per_gib: Some(256.0), cpu_us_per_request: None, rss_mib: 12.0, threads: 9 }),
        }
    }

    #[test]
    fn json_shape_is_stable() {
        assert_eq!(
            serde_json::to_string(&load_report()).unwrap(),
            concat!(
                r#"{"work":"produce","client":"raw","topic":"t","partitions":6,"connections":2,"seconds":2.0,"bytes":1048576,"#,
                r#""records":10,"requests":5,"mib_per_s":0.5,"records_per_s":5.0,"requests_per_s":2.5,"#,
                r#""latency_ms":{"count":5,"mean":1.5,"p50":1.0,"p90":2.0,"p99":3.0,"p99.9":4.0,"max":5.0},"#,
                r#""broker":{"cpu_s":0.25,"cpu_s_per_gib":256.0,"cpu_us_per_request":null,"rss_mib":12.0,"threads":9}}"#
            )
        );
    }

    #[test]
    fn a_table_has_what_was_measured_and_nothing_else() {
        let names = |report: &LoadReport| load(report).into_iter().map(|[name, ..]| name).collect::<Vec<_>>();
        let all = names(&load_report());
        assert!(all.contains(&"latency p99.9".to_owned()) && all.contains(&"broker processor time".to_owned()), "{all:?}");
        let bare = names(&LoadReport { requests: None, requests_per_s: None, latency_ms: None, broker: None, ..load_report() });
        assert_eq!(bare, ["work", "topic", "connections", "time", "data", "records"]);
    }
}
