//! Runs of the cluster.
fn main() {
    let args: Vec<u64> = std::env::args()
        .skip(1)
        .filter_map(|a| a.parse().ok())
        .collect();
    if args.len() == 1 {
        let run = sim::run_cluster(args[0], true);
        for line in run.story {
            println!("{line}");
        }
        println!("{:?}", run.result);
        return;
    }
    let t = std::time::Instant::now();
    let mut bad = std::collections::BTreeMap::<String, Vec<u64>>::new();
    let mut sum = (0, 0, 0);
    for seed in args[0]..args[1] {
        match run_cluster(seed) {
            Ok(f) => {
                sum.0 += f.commits;
                sum.1 += f.moves;
                sum.2 += f.starts;
            }
            Err(e) => bad
                .entry(e.chars().take(110).collect())
                .or_default()
                .push(seed),
        }
    }
    for (e, s) in &bad {
        println!("{} x {e}: {:?}", s.len(), &s[..s.len().min(6)]);
    }
    println!("{sum:?} {:?}", t.elapsed());
}
fn run_cluster(seed: u64) -> Result<sim::ClusterFigures, String> {
    match std::panic::catch_unwind(|| sim::run_cluster(seed, false).result) {
        Ok(r) => r,
        Err(p) => Err(format!("panic {:?}", p.downcast_ref::<String>())),
    }
}
