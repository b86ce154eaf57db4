//! What is measured in rounds: every part on every route, in turns.

use std::path::Path;

use crate::figures::{Busy, Goal, Metric, Series, load, row};
use crate::load::{self as figures_of, Place};
use crate::route::Route;
use crate::site::Site;

/// What is measured together.
pub struct Part {
    pub name: &'static str,
    metrics: &'static [Metric],
    measure: fn(&Place) -> Vec<Option<f64>>,
}

/// In the order of a round: memory first, while the proxies are as they started.
pub const PARTS: &[Part] = &[
    Part {
        name: "memory",
        metrics: &[
            Metric {
                name: "memory per idle session (2,000), KiB",
                digits: 2,
                goals: &[Goal::Within(2.0)],
            },
            Metric {
                name: "memory at start, MiB",
                digits: 1,
                goals: &[Goal::Within(7.0)],
            },
        ],
        measure: figures_of::memory,
    },
    Part {
        name: "bulk",
        metrics: &[
            Metric {
                name: "bulk down, 8 connections, MB/s",
                digits: 0,
                goals: &[
                    Goal::AtLeast(4.0, Route::Haproxy),
                    Goal::AtLeast(1.6, Route::Nginx),
                    Goal::AtLeast(0.95, Route::HaproxySplice),
                    Goal::AtLeast(0.45, Route::Direct),
                ],
            },
            Metric {
                name: "  CPU of the proxy, s/GiB",
                digits: 3,
                goals: &[Goal::AtMost(0.15, Route::Haproxy), Goal::AtMost(0.33, Route::Nginx)],
            },
        ],
        measure: figures_of::bulk,
    },
    Part {
        name: "ping-64",
        metrics: &[Metric {
            name: "ping-pong 64 B, 64 connections, k/s",
            digits: 1,
            goals: &[
                Goal::AtLeast(1.0, Route::Haproxy),
                Goal::AtLeast(1.0, Route::Nginx),
                Goal::AtLeast(1.25, Route::HaproxySplice),
            ],
        }],
        measure: figures_of::ping_many,
    },
    Part {
        name: "ping-1",
        metrics: &[Metric {
            name: "ping-pong 64 B, 1 connection, p50, us",
            digits: 1,
            goals: &[Goal::AtMost(1.3, Route::Direct), Goal::AtMost(1.0, Route::Haproxy)],
        }],
        measure: figures_of::ping_one,
    },
    Part {
        name: "stream",
        metrics: &[
            Metric {
                name: "5,000 messages/s, p50, us",
                digits: 1,
                goals: &[Goal::AtMost(1.0, Route::Haproxy)],
            },
            Metric {
                name: "5,000 messages/s, p99, us",
                digits: 1,
                goals: &[Goal::AtMost(1.0, Route::Haproxy)],
            },
        ],
        measure: figures_of::stream,
    },
    Part {
        name: "connect",
        metrics: &[Metric {
            name: "connect, 1 round trip, close, k/s",
            digits: 2,
            goals: &[Goal::AtLeast(1.1, Route::Haproxy), Goal::AtLeast(1.0, Route::Nginx)],
        }],
        measure: figures_of::connect,
    },
];

/// Measures these parts and prints medians, ratios and goals.
pub fn run(parts: &[&Part], routes: &[Route], ours: &Path, rounds: usize, quick: bool) {
    let mut series: Vec<Vec<Series>> = (parts.iter())
        .map(|part| part.metrics.iter().map(|_| Series::default()).collect())
        .collect();
    for round in 0..rounds {
        let busy = Busy::now();
        let mut turns = routes.to_vec();
        if round % 2 == 1 {
            turns.reverse();
        }
        let site = Site::start(&turns, ours);
        for (part, series) in parts.iter().zip(&mut series) {
            for &route in &turns {
                let (target, proxy) = (route.target(), site.proxies.get(&route));
                let figures = (part.measure)(&Place { target, proxy, quick });
                for (series, figure) in series.iter_mut().zip(figures) {
                    if let Some(figure) = figure {
                        series.add(route, figure);
                    }
                }
            }
        }
        drop(site);
        println!(
            "round {} of {rounds}: load average {}; others kept {:.2} processors busy",
            round + 1,
            load(),
            busy.others()
        );
    }
    println!(
        "\nmedians of {rounds} rounds; ratios are medians of those of each round, with the lowest and the highest"
    );
    row("", routes.iter().map(|route| route.name()));
    for (part, series) in parts.iter().zip(&series) {
        for (metric, series) in part.metrics.iter().zip(series) {
            series.print(metric, routes);
        }
    }
}
