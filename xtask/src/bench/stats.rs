//! Medians and quartiles of a few rounds, and the table they go into.

use std::fmt::Write;

/// Whether more of it is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    More,
    Less,
}

/// One figure of one row: a value a round for each system.
#[derive(Clone, Debug)]
pub struct Figure {
    pub work: String,
    pub name: &'static str,
    pub better: Better,
    pub ottla: Vec<f64>,
    pub kafka: Vec<f64>,
    pub limit: Vec<f64>,
}

/// The head of the table.
pub const HEAD: &str = "\
| work | figure | Ottla | Kafka | better than Kafka, times | limit | Ottla / limit |
|---|---|---:|---:|---:|---:|---:|";

impl Figure {
    /// Its line. Ratios are taken round by round, since what drifts on a machine drifts for both: median (quartiles).
    pub fn line(&self) -> String {
        let better = |(ottla, kafka): (&f64, &f64)| match self.better {
            Better::More => ottla / kafka,
            Better::Less => kafka / ottla,
        };
        let times: Vec<f64> = self.ottla.iter().zip(&self.kafka).map(better).collect();
        let over: Vec<f64> = self.ottla.iter().zip(&self.limit).map(|(ottla, limit)| ottla / limit).collect();
        let cells = [median(&self.ottla), median(&self.kafka)].map(plain);
        let [ottla, kafka] = cells;
        format!(
            "| {} | {} | {ottla} | {kafka} | {} | {} | {} |",
            self.work,
            self.name,
            with_quartiles(&times),
            plain(median(&self.limit)),
            with_quartiles(&over)
        )
    }
}

/// The value in the middle; between two, half of both. None of none.
pub fn median(values: &[f64]) -> Option<f64> {
    quantile(values, 0.5)
}

/// By linear interpolation between the values on both sides.
fn quantile(values: &[f64], share: f64) -> Option<f64> {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    let place = share * (sorted.len().checked_sub(1)?) as f64;
    let (low, high) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    Some(low + (high - low) * place.fract())
}

fn with_quartiles(values: &[f64]) -> String {
    let mut text = plain(median(values));
    if let (true, Some(low), Some(high)) = (values.len() > 1, quantile(values, 0.25), quantile(values, 0.75)) {
        let _ = write!(text, " ({} to {})", plain(Some(low)), plain(Some(high)));
    }
    text
}

/// With three digits that count; nothing for nothing.
fn plain(value: Option<f64>) -> String {
    match value {
        None => String::new(),
        Some(value) if value.abs() >= 100.0 => format!("{value:.0}"),
        Some(value) if value.abs() >= 10.0 => format!("{value:.1}"),
        Some(value) if value.abs() >= 0.1 || value == 0.0 => format!("{value:.2}"),
        Some(value) => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_quartiles_are_those_of_the_book() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!((quantile(&[1.0, 2.0, 3.0, 4.0, 5.0], 0.25), quantile(&[1.0, 2.0, 3.0, 4.0, 5.0], 0.75)), (Some(2.0), Some(4.0)));
    }

    #[test]
    fn a_ratio_above_one_is_better_whatever_the_figure() {
        let figure = |better, ottla: f64, kafka: f64| Figure {
            work: "w".to_owned(),
            name: "f",
            better,
            ottla: vec![ottla, ottla],
            kafka: vec![kafka, kafka],
            limit: Vec::new(),
        };
        assert_eq!(figure(Better::Less, 2.0, 5.0).line(), "| w | f | 2.00 | 5.00 | 2.50 (2.50 to 2.50) |  |  |");
        assert_eq!(figure(Better::More, 200.0, 50.0).line(), "| w | f | 200 | 50.0 | 4.00 (4.00 to 4.00) |  |  |");
        let alone = Figure { kafka: Vec::new(), limit: vec![1.0], ..figure(Better::Less, 2.0, 0.0) };
        assert_eq!(alone.line(), "| w | f | 2.00 |  |  | 1.00 | 2.00 |");
    }

    #[test]
    fn ratios_are_of_rounds_and_not_of_medians() {
        let figure = Figure {
            work: "w".to_owned(),
            name: "f",
            better: Better::Less,
            ottla: vec![1.0, 2.0, 4.0],
            kafka: vec![2.0, 2.0, 40.0],
            limit: Vec::new(),
        };
        assert!(figure.line().contains("| 2.00 | 2.00 | 2.00 (1.50 to 6.00) |"), "{}", figure.line());
    }
}
