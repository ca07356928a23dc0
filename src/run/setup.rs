//! The setup of a run: everything that it works on, resolved.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::error::Result;
use crate::fetch::Sources;
use crate::merge::Inputs;
use crate::names::PackageName;
use crate::openpgp::{Signer, Signing};
use crate::publish::{self, Mended, Plan};
use crate::push::Target;
use crate::spec::Spec;
use crate::verdicts::Verdicts;

/// Everything that a run works on, resolved.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The archives.
    pub sources: Sources,
    /// The suites to publish.
    pub suites: Vec<Spec>,
    /// The settings of publishing that no suite is made anew for.
    pub(crate) publishing: publish::Settings,
    /// The keys that sign.
    pub signing: Signing,
    /// The names of the reports on packages that need others.
    pub(crate) watches: BTreeSet<PackageName>,
    pub(crate) targets: Vec<Target>,
}

impl Setup {
    /// Plans a generation from the spool, or from whatever else has the inputs. An error says that there is something to sign, and no key
    /// that can.
    pub fn plan<'a>(
        &'a self,
        inputs: &'a dyn Inputs,
        signer: &Signer,
        mended: &Mended<'a>,
        now: Timestamp,
        rebuild: bool,
    ) -> Result<Plan<'a>> {
        let keys = signer.ready(now.into())?;
        let (suites, settings) = (&self.suites, &self.publishing);
        let verdicts = Verdicts::read(
            mended.workspace(),
            "verified-suites.json",
            self.signing.seal()?,
        )?;
        let keys = (keys, verdicts);
        let mut plan = Plan::new(suites, settings, inputs, keys, mended, now, rebuild)?;
        match plan.is_empty() {
            true => Ok(plan),
            false => plan
                .keys
                .take_inability()
                .map_or(Ok(plan), |why| Err(why.into())),
        }
    }
}
