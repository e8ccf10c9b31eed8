//! Predicted times, and the comparison that they speak for.

use anyhow::Result;
use hushwire_mpc::{Comparison, Job};
use hushwire_profile::{Hosts, Line, Profile, Times};

use crate::args::{ForecastArgs, Link};

/// What times are predicted from.
pub struct Forecast {
    profile: Profile,
    line: Line,
    hosts: Hosts,
}

impl Forecast {
    /// From the profile that the user names, or the built-in one.
    pub fn new(args: &ForecastArgs, hosts: Hosts) -> Result<Forecast> {
        let profile = match &args.profile {
            Some(path) => Profile::load(path)?,
            None => Profile::built_in(),
        };
        Ok(Forecast::with(profile, args.link, hosts))
    }

    /// From a profile.
    pub fn with(profile: Profile, link: Link, hosts: Hosts) -> Forecast {
        let line = link.emulated().map_or(Line::LOOPBACK, |line| Line {
            rtt: line.rtt_ms / 1e3,
            bytes_per_second: line.mbit * 1e6 / 8.0,
        });
        Forecast { profile, line, hosts }
    }

    /// How long a job takes.
    pub fn times(&self, job: &Job) -> Times {
        self.profile.predict(job, &self.line, self.hosts)
    }

    /// The comparison with which a job takes less time, both phases together.
    pub fn faster(&self, job: &Job) -> Comparison {
        let total =
            |comparison| self.times(&Job::new(job.program.clone(), job.batch, comparison)).total();
        let dcf_is_faster = total(Comparison::Dcf) < total(Comparison::Digits);
        if dcf_is_faster { Comparison::Dcf } else { Comparison::Digits }
    }

    /// The processor that the profile is of.
    pub fn processor(&self) -> &str {
        &self.profile.machine.processor
    }
}
