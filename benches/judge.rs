//! Whether a line's goals hold.

use crate::lines::Goal;
use crate::meter::{Sample, median};
use crate::report::{Done, Row};

fn wall(sample: &Sample) -> f64 {
    sample.wall
}

fn wire(sample: &Sample) -> f64 {
    sample.wire as f64
}

fn peak(sample: &Sample) -> f64 {
    sample.peak.unwrap_or_default() as f64
}

impl Done {
    /// The outcome of one goal.
    pub fn judge(&self, goal: Goal) -> Row {
        match goal {
            Goal::WallRatio(most, peers) => self.against(peers).below(most),
            Goal::SpeedShare(least, peers) => {
                let row = self.against(peers);
                let ratio = row.ratio.map(|ratio| 1.0 / ratio);
                Row { ratio, ..row }.above(least)
            }
            Goal::OtherRatio(own, most, peers) => self.other(own, peers).below(most),
            Goal::WireRatio(most) => {
                let row = self.alone("bytes", wire);
                row.beside("changed bytes", self.bytes as f64).below(most)
            }
            Goal::LineRate(least) => {
                let rate = self.line.link.map_or(f64::NAN, |link| link.rate);
                let row = self.alone("bytes/s", |sample| self.bytes as f64 / sample.wall);
                row.beside("the link", rate).above(least)
            }
            Goal::Wall(most) => self.alone("s", wall).at_most(most),
            Goal::Wire(most) => self.alone("bytes", wire).at_most(most),
            Goal::Peak(most) => self.alone("bytes resident", peak).at_most(most),
        }
    }

    /// The fastest of these that ran.
    fn fastest<'a>(&self, of: &[&'a str]) -> Option<&'a str> {
        let ran = of.iter().filter(|name| self.samples(name).is_some());
        ran.copied().min_by(|a, b| {
            let wall = |name| self.median(name, wall).unwrap_or(f64::MAX);
            wall(a).total_cmp(&wall(b))
        })
    }

    fn against(&self, peers: &[&str]) -> Row {
        match self.fastest(peers) {
            Some(peer) => self.compared(peer, "s", None, wall),
            None => self.alone("s", wall),
        }
    }

    fn other(&self, own: &str, peers: &[&str]) -> Row {
        let peer = self.fastest(peers);
        Row {
            line: format!("{}, {own}", self.line.name),
            unit: "s",
            ferry: self.median(own, wall),
            peer: peer.and_then(|peer| self.median(peer, wall)),
            peer_name: peer.map(Into::into),
            ratio: peer.and_then(|peer| self.ratio_of(own, peer, wall)),
            ..Row::default()
        }
    }

    fn alone(&self, unit: &'static str, figure: impl Fn(&Sample) -> f64) -> Row {
        let ferry = self.ferry();
        Row {
            line: self.line.name.into(),
            unit,
            ferry: ferry.map(|samples| median(samples.iter().map(figure).collect())),
            ..Row::default()
        }
    }
}

impl Row {
    fn beside(self, name: &str, figure: f64) -> Row {
        Row {
            ratio: self.ferry.map(|ferry| ferry / figure),
            peer: Some(figure),
            peer_name: Some(name.into()),
            ..self
        }
    }

    fn below(self, most: f64) -> Row {
        Row {
            goal: Some(format!("ratio ≤ {most}")),
            holds: self.ratio.map(|ratio| ratio <= most),
            ..self
        }
    }

    fn above(self, least: f64) -> Row {
        Row {
            goal: Some(format!("ratio ≥ {least}")),
            holds: self.ratio.map(|ratio| ratio >= least),
            ..self
        }
    }

    fn at_most(self, most: f64) -> Row {
        Row {
            goal: Some(format!("≤ {most}")),
            holds: self.ferry.map(|ferry| ferry <= most),
            ..self
        }
    }
}
