//! Resolves the configuration into the specs of its suites.

use crate::fetch::{Source, SourceSuite, Sources};
use crate::names::SuiteName;
use crate::proxy::Environment;
use crate::publish;
use crate::run::Setup;
use crate::spec::{self, Content, InputSpec, NumberedPin, ReleaseFields, Spec};

use super::{Archive, ArchiveName, ArchiveSuite, Config, Suite, Upstream};

impl Config {
    /// Returns everything that a run works on.
    pub fn setup(&self) -> Setup {
        Setup {
            sources: self.sources(),
            suites: self.specs(),
            publishing: self.publishing(),
            signing: self.signing.clone(),
            watches: self.reports.watch.keys().cloned().collect(),
            targets: self.push.clone(),
        }
    }

    /// Returns the archives to fetch from, as if the environment named no proxy.
    pub fn sources(&self) -> Sources {
        let fetched = self.archives.iter().filter(|(_, a)| !a.is_own());
        let archives = fetched.map(|(name, archive)| {
            let source = Source {
                uris: archive.uris.clone(),
                proxy: archive.proxy.clone(),
                tls: archive.tls(),
                signed_by: archive.signed_by.clone(),
                takes_weak_keys_until: archive.takes_weak_keys_until(),
                max_age: archive.max_age,
                check_valid_until: archive.check_valid_until,
                may_repeat_date: archive.may_repeat_date,
                suites: archive.suites.iter().map(source_suite).collect(),
            };
            (name.clone(), source)
        });
        Sources {
            archives: archives.collect(),
            settings: self.fetch.clone(),
            environment: Environment::default(),
        }
    }

    /// Returns the settings of publishing.
    pub(crate) fn publishing(&self) -> publish::Settings {
        let archives = self.archives.iter();
        let local = self.archives.values().filter(|a| self.has_links(a));
        let linked_pools = local
            .filter_map(|archive| Some((archive.pool.clone(), archive.directory(&self.root)?)));
        publish::Settings {
            archives: archives
                .map(|(name, archive)| (archive.pool.clone(), name.clone()))
                .collect(),
            linked_pools: linked_pools.collect(),
            guards: self.guards,
            by_hash: self.publish.by_hash,
            cache_size: self.cache.max_size,
        }
    }

    /// Returns the specs of all suites, in the order of their names.
    pub fn specs(&self) -> Vec<Spec> {
        let suites = self.suites.iter();
        suites.map(|(name, suite)| self.spec(name, suite)).collect()
    }

    /// Returns the spec of a suite.
    pub fn spec(&self, name: &SuiteName, suite: &Suite) -> Spec {
        let pins = self.pin.iter().enumerate();
        let pins =
            pins.filter(|(_, pin)| pin.is_for_suite(name) && suite.from.contains_key(&pin.archive));
        let inputs = self.inputs(suite);
        Spec {
            name: name.clone(),
            aliases: suite.links.clone(),
            content: Content {
                inputs: inputs
                    .map(|(name, archive, upstream)| self.input(name, archive, upstream))
                    .collect(),
                components: self.components_of(suite).to_vec(),
                architectures: self.architectures_of(suite).to_vec(),
                families: self.indices.clone(),
                languages: self.languages.clone(),
                strategy: suite.strategy.unwrap_or(self.strategy),
                pins: pins
                    .map(|(number, pin)| NumberedPin {
                        number: number + 1,
                        pin: pin.clone(),
                    })
                    .collect(),
                bans: spec::Bans {
                    packages: self.bans.packages.clone(),
                    transitive: self.bans.transitive,
                },
                watch: self.reports.watch.clone(),
                contents_beside_components: self.publish.contents_beside_components,
                forms: self.publish.compress.clone(),
                hashes: self.publish.hashes.clone(),
            },
            release: ReleaseFields {
                fields: suite.release.clone(),
                valid_for: self.publish.valid_for,
                patches: self.publish.pdiff,
            },
            timeout: self.merge.suite_timeout,
        }
    }

    /// Returns whether the tree has links to the packages of an archive, if they are here. Our own can be reached in no other way.
    fn has_links(&self, archive: &Archive) -> bool {
        self.publish.pool_links || archive.is_own()
    }

    fn input(&self, name: &ArchiveName, archive: &Archive, upstream: &Upstream) -> InputSpec {
        let families = match &archive.indices {
            Some(narrowed) => self.indices.intersection(narrowed).copied().collect(),
            None => self.indices.clone(),
        };
        let settings = upstream.suite().and_then(|suite| archive.suites.get(suite));
        let flat = settings.filter(|settings| settings.flat.is_some());
        let flat = flat.and_then(|settings| settings.component.clone());
        InputSpec {
            archive: name.clone(),
            suite: upstream.clone(),
            pool: archive.pool.clone(),
            families,
            architectures: archive.architectures.clone(),
            // A flat archive has none that could be renamed.
            components: archive.components.clone().filter(|_| flat.is_none()),
            flat,
            is_exempt: self.bans.exempt.contains(name),
            may_be_essential: archive.may_be_essential,
            include: archive.include.clone(),
            exclude: archive.exclude.clone(),
            is_linked: self.has_links(archive) && archive.directory(&self.root).is_some(),
            bounds_validity: archive.check_valid_until && archive.inherit_valid_until,
        }
    }
}

/// Returns what fetching knows of a suite that the configuration has settings for.
fn source_suite((name, suite): (&SuiteName, &ArchiveSuite)) -> (SuiteName, SourceSuite) {
    let source = SourceSuite {
        called: suite.called.clone(),
        may_be_undated: suite.may_be_undated,
        flat: suite.flat.clone(),
    };
    (name.clone(), source)
}
