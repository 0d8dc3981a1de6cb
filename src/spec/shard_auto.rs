//! Which shard a CI system or a batch system says this process is: a table of the variables that
//! each of them sets. Pure: the caller looks the variables up.

use super::shard::Shard;
use crate::problem::Problem;

/// How many shards there are, for engines that only give an index.
pub const COUNT_VARIABLE: &str = "BOOTPROOF_SHARD_COUNT";

/// The file that Bazel and its kin want to see, to know that their shards are understood.
const STATUS_FILE_VARIABLE: &str = "TEST_SHARD_STATUS_FILE";

/// What starts several tasks and tells each which one it is.
struct Engine {
    name: &'static str,
    index: &'static str,
    /// `None`: the engine does not say how many tasks there are.
    count: Option<&'static str>,
    /// The index of the first task.
    base: u32,
    /// What is the same for all tasks of a run, also for one that is started again.
    run: Option<&'static str>,
    /// Other tools have the same variables with another meaning: only where this is set, too.
    only_with: Option<&'static str>,
}

const fn engine(
    name: &'static str,
    index: &'static str,
    count: Option<&'static str>,
    base: u32,
    run: Option<&'static str>,
) -> Engine {
    Engine { name, index, count, base, run, only_with: None }
}

const SLURM: &str = "Slurm";

const ENGINES: [Engine; 12] = [
    engine("Bazel", "TEST_SHARD_INDEX", Some("TEST_TOTAL_SHARDS"), 0, None),
    engine("Kubernetes", "JOB_COMPLETION_INDEX", None, 0, None),
    engine(
        SLURM,
        "SLURM_ARRAY_TASK_ID",
        Some("SLURM_ARRAY_TASK_COUNT"),
        0,
        Some("SLURM_ARRAY_JOB_ID"),
    ),
    Engine {
        only_with: Some("GITLAB_CI"),
        ..engine("GitLab", "CI_NODE_INDEX", Some("CI_NODE_TOTAL"), 1, Some("CI_PIPELINE_ID"))
    },
    engine(
        "Buildkite",
        "BUILDKITE_PARALLEL_JOB",
        Some("BUILDKITE_PARALLEL_JOB_COUNT"),
        0,
        Some("BUILDKITE_BUILD_ID"),
    ),
    engine(
        "CircleCI",
        "CIRCLE_NODE_INDEX",
        Some("CIRCLE_NODE_TOTAL"),
        0,
        Some("CIRCLE_WORKFLOW_ID"),
    ),
    engine(
        "Semaphore",
        "SEMAPHORE_JOB_INDEX",
        Some("SEMAPHORE_JOB_COUNT"),
        1,
        Some("SEMAPHORE_WORKFLOW_ID"),
    ),
    engine(
        "Bitbucket",
        "BITBUCKET_PARALLEL_STEP",
        Some("BITBUCKET_PARALLEL_STEP_COUNT"),
        0,
        Some("BITBUCKET_PIPELINE_UUID"),
    ),
    engine("AWS Batch", "AWS_BATCH_JOB_ARRAY_INDEX", None, 0, Some("AWS_BATCH_JOB_ID")),
    engine(
        "Cloud Run",
        "CLOUD_RUN_TASK_INDEX",
        Some("CLOUD_RUN_TASK_COUNT"),
        0,
        Some("CLOUD_RUN_EXECUTION"),
    ),
    engine(
        "Azure Pipelines",
        "SYSTEM_JOBPOSITIONINPHASE",
        Some("SYSTEM_TOTALJOBSINPHASE"),
        1,
        Some("BUILD_BUILDID"),
    ),
    engine("GNU parallel", "PARALLEL_SEQ", None, 1, None),
];

/// What the environment says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Which shard this process is.
    pub shard: Shard,
    /// What all shards of the run have in common, if the engine has such an id.
    pub run_id: Option<String>,
    /// The file that must be created to show that the shard was understood.
    pub status_file: Option<String>,
}

/// Finds the one engine that started this process; `variable` looks up a variable of the
/// environment.
pub fn find(variable: impl Fn(&str) -> Option<String>) -> Result<Found, Problem> {
    let environment = Environment(&variable);
    let mut started_by = ENGINES.iter().filter(|engine| environment.has_started_by(engine));
    let Some(engine) = started_by.next() else { return Err(environment.nobody()) };
    if let Some(other) = started_by.next() {
        return Err(two(engine, other));
    }
    if engine.name == SLURM {
        environment.check_slurm_count()?;
    }
    let count = environment.count(engine)?;
    let index = environment.number(engine.index)?;
    let shard = index.checked_sub(engine.base).map(|from_zero| from_zero.saturating_add(1));
    let shard = shard.filter(|shard| *shard <= count);
    let Some(index) = shard else { return Err(out_of_range(engine, index, count)) };
    Ok(Found {
        shard: Shard::new(index, count)?,
        run_id: engine.run.and_then(|name| environment.run_id(name)),
        status_file: environment.get(STATUS_FILE_VARIABLE).filter(|_| engine.name == "Bazel"),
    })
}

/// The variables of this process; an empty one counts as unset.
struct Environment<'a>(&'a dyn Fn(&str) -> Option<String>);

impl Environment<'_> {
    fn get(&self, name: &str) -> Option<String> {
        (self.0)(name).filter(|value| !value.trim().is_empty())
    }

    fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    fn has_started_by(&self, engine: &Engine) -> bool {
        self.has(engine.index) && engine.only_with.is_none_or(|name| self.has(name))
    }

    fn number(&self, name: &str) -> Result<u32, Problem> {
        let text = self.get(name).unwrap_or_default();
        text.trim().parse().map_err(|_| {
            Problem::new(format!("{name} is `{text}`, which is not a number")).hint(BY_HAND)
        })
    }

    fn count(&self, engine: &Engine) -> Result<u32, Problem> {
        let name = engine.count.unwrap_or(COUNT_VARIABLE);
        if self.has(name) {
            return match self.number(name)? {
                0 => Err(Problem::new(format!("{name} is 0")).hint(BY_HAND)),
                count => Ok(count),
            };
        }
        let Engine { name: engine, index, count, .. } = engine;
        Err(match count {
            Some(count) => {
                Problem::new(format!("{engine} sets {index}, but {count} is not set")).hint(BY_HAND)
            }
            None => Problem::new(format!(
                "{engine} sets {index}, but does not say how many shards there are"
            ))
            .hint(format!("set {COUNT_VARIABLE} to the number of tasks that you start")),
        })
    }

    /// Slurm counts the tasks of one submission: `--array=3,7`, which starts two lost shards again,
    /// says 2.
    fn check_slurm_count(&self) -> Result<(), Problem> {
        let names = ["MIN", "STEP", "MAX", "COUNT"].map(|word| format!("SLURM_ARRAY_TASK_{word}"));
        let values = names.each_ref().map(|name| self.number(name).ok());
        if let [Some(0), Some(1), Some(last), Some(count)] = values
            && last.checked_add(1) == Some(count)
        {
            return Ok(());
        }
        let shown = names.map(|name| {
            let value = self.get(&name);
            format!("{name}={}", value.as_deref().unwrap_or("(not set)"))
        });
        let message = format!(
            "the array of this Slurm job is not 0-LAST, so its size need not be the number of \
             shards: {}",
            shown.join(", ")
        );
        Err(Problem::new(message).hint(
            "start all shards with --array=0-7 (for 8), or pass --shard, such as \
             --shard $((SLURM_ARRAY_TASK_ID + 1))/8 and the --run-id of the first run",
        ))
    }

    /// AWS Batch adds the index of the task to the id of the job: `id:3`.
    fn run_id(&self, name: &str) -> Option<String> {
        let id = self.get(name)?;
        let id = id.trim();
        Some(id.split_once(':').map_or(id, |(id, _)| id).to_owned())
    }

    fn nobody(&self) -> Problem {
        let shy = ENGINES.iter().find(|engine| self.has(engine.index));
        let but = shy.and_then(|engine| {
            let needs = engine.only_with?;
            Some(format!("; {} counts only where {needs} is set", engine.index))
        });
        let names = ENGINES.map(|engine| engine.index).join(", ");
        let message = format!(
            "--shard auto found no variable that says which shard this is{}",
            but.unwrap_or_default()
        );
        Problem::new(message).hint(format!("pass --shard, such as 3/8; known are: {names}"))
    }
}

/// What helps in any case.
const BY_HAND: &str = "say which shard this is with --shard, such as 3/8";

fn out_of_range(engine: &Engine, index: u32, count: u32) -> Problem {
    let Engine { name, index: variable, base, .. } = engine;
    let counter = engine.count.unwrap_or(COUNT_VARIABLE);
    Problem::new(format!(
        "{variable} is {index}, but {name} counts from {base} and {counter} is {count}"
    ))
    .hint(BY_HAND)
}

fn two(one: &Engine, other: &Engine) -> Problem {
    Problem::new(format!(
        "two of the environment's variables say which shard this is: {} of {} and {} of {}",
        one.index, one.name, other.index, other.name
    ))
    .hint(BY_HAND)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_environment(variables: &str) -> Result<Found, Problem> {
        let pairs: Vec<(&str, &str)> =
            variables.split_whitespace().filter_map(|pair| pair.split_once('=')).collect();
        find(|name| {
            let pair = pairs.iter().find(|(known, _)| *known == name);
            pair.map(|(_, value)| (*value).to_owned())
        })
    }

    const SLURM_ARRAY: &str = "SLURM_ARRAY_TASK_ID=2 SLURM_ARRAY_TASK_MIN=0 \
                               SLURM_ARRAY_TASK_STEP=1 SLURM_ARRAY_JOB_ID=4711";

    #[test]
    fn each_engine_says_which_shard_this_is() {
        let slurm = format!("{SLURM_ARRAY} SLURM_ARRAY_TASK_MAX=7 SLURM_ARRAY_TASK_COUNT=8");
        for (variables, shard, run_id) in [
            ("TEST_SHARD_INDEX=2 TEST_TOTAL_SHARDS=8", "3/8", None),
            ("JOB_COMPLETION_INDEX=2 BOOTPROOF_SHARD_COUNT=8", "3/8", None),
            (&slurm, "3/8", Some("4711")),
            ("GITLAB_CI=true CI_NODE_INDEX=3 CI_NODE_TOTAL=8 CI_PIPELINE_ID=9", "3/8", Some("9")),
            (
                "BUILDKITE_PARALLEL_JOB=2 BUILDKITE_PARALLEL_JOB_COUNT=8 BUILDKITE_BUILD_ID=a-b",
                "3/8",
                Some("a-b"),
            ),
            ("CIRCLE_NODE_INDEX=0 CIRCLE_NODE_TOTAL=1 CIRCLE_WORKFLOW_ID=w", "1/1", Some("w")),
            (
                "SEMAPHORE_JOB_INDEX=8 SEMAPHORE_JOB_COUNT=8 SEMAPHORE_WORKFLOW_ID=s",
                "8/8",
                Some("s"),
            ),
            (
                "BITBUCKET_PARALLEL_STEP=0 BITBUCKET_PARALLEL_STEP_COUNT=2 \
                 BITBUCKET_PIPELINE_UUID={u}",
                "1/2",
                Some("{u}"),
            ),
            (
                "AWS_BATCH_JOB_ARRAY_INDEX=4 BOOTPROOF_SHARD_COUNT=5 AWS_BATCH_JOB_ID=j:4",
                "5/5",
                Some("j"),
            ),
            (
                "CLOUD_RUN_TASK_INDEX=1 CLOUD_RUN_TASK_COUNT=2 CLOUD_RUN_EXECUTION=e",
                "2/2",
                Some("e"),
            ),
            (
                "SYSTEM_JOBPOSITIONINPHASE=1 SYSTEM_TOTALJOBSINPHASE=2 BUILD_BUILDID=5",
                "1/2",
                Some("5"),
            ),
            ("PARALLEL_SEQ=1 BOOTPROOF_SHARD_COUNT=2", "1/2", None),
        ] {
            let found =
                in_environment(variables).unwrap_or_else(|why| panic!("{variables}: {why}"));
            assert_eq!(found.shard.to_string(), shard, "{variables}");
            assert_eq!(found.run_id.as_deref(), run_id, "{variables}");
            assert_eq!(found.status_file, None);
        }
    }

    #[test]
    fn every_engine_is_in_the_test_above() {
        let this = include_str!("shard_auto.rs");
        let (_, tests) = this.split_once("mod tests").unwrap();
        for engine in &ENGINES {
            assert!(tests.contains(&format!("{}=", engine.index)), "{}", engine.name);
        }
    }

    #[test]
    fn bazel_wants_a_file() {
        let bazel = "TEST_SHARD_INDEX=0 TEST_TOTAL_SHARDS=2 TEST_SHARD_STATUS_FILE=/tmp/s";
        assert_eq!(in_environment(bazel).unwrap().status_file.as_deref(), Some("/tmp/s"));
    }

    #[test]
    fn the_size_of_a_slurm_array_counts_only_if_it_has_all_shards() {
        for rest in [
            "SLURM_ARRAY_TASK_MAX=7 SLURM_ARRAY_TASK_COUNT=2",
            "SLURM_ARRAY_TASK_COUNT=8",
            "SLURM_ARRAY_TASK_MAX=4294967295 SLURM_ARRAY_TASK_COUNT=0",
        ] {
            let problem = in_environment(&format!("{SLURM_ARRAY} {rest}")).unwrap_err();
            assert!(problem.message.contains("SLURM_ARRAY_TASK_COUNT="), "{problem}");
            assert!(problem.hint.as_ref().unwrap().contains("--shard"), "{problem}");
        }
        for (from, to) in [("MIN=0", "MIN=1"), ("STEP=1", "STEP=2")] {
            let array = SLURM_ARRAY.replace(from, to);
            let rest = "SLURM_ARRAY_TASK_MAX=7 SLURM_ARRAY_TASK_COUNT=8";
            assert!(in_environment(&format!("{array} {rest}")).is_err(), "{to}");
        }
    }

    #[test]
    fn what_is_not_certain_is_an_error_that_names_the_variable() {
        for (variables, words) in [
            (
                "PARALLEL_SEQ=1 BOOTPROOF_SHARD_COUNT=8 TEST_SHARD_INDEX=0 TEST_TOTAL_SHARDS=8",
                &["TEST_SHARD_INDEX of Bazel and PARALLEL_SEQ of GNU parallel", "--shard"][..],
            ),
            ("", &["found no variable", "JOB_COMPLETION_INDEX"]),
            ("CI_NODE_INDEX=1 CI_NODE_TOTAL=2", &["CI_NODE_INDEX counts only where GITLAB_CI"]),
            ("GITLAB_CI=true", &["found no variable"]),
            ("JOB_COMPLETION_INDEX=0", &["Kubernetes", "BOOTPROOF_SHARD_COUNT"]),
            ("AWS_BATCH_JOB_ARRAY_INDEX=0", &["AWS Batch", "BOOTPROOF_SHARD_COUNT"]),
            ("PARALLEL_SEQ=1", &["GNU parallel", "BOOTPROOF_SHARD_COUNT"]),
            ("TEST_SHARD_INDEX=0", &["TEST_TOTAL_SHARDS is not set"]),
            ("TEST_SHARD_INDEX=two TEST_TOTAL_SHARDS=8", &["TEST_SHARD_INDEX is `two`"]),
            ("TEST_SHARD_INDEX=0 TEST_TOTAL_SHARDS=-1", &["TEST_TOTAL_SHARDS is `-1`"]),
            ("TEST_SHARD_INDEX=0 TEST_TOTAL_SHARDS=0", &["TEST_TOTAL_SHARDS is 0"]),
            ("TEST_SHARD_INDEX=8 TEST_TOTAL_SHARDS=8", &["TEST_SHARD_INDEX is 8", "from 0"]),
            ("SEMAPHORE_JOB_INDEX=0 SEMAPHORE_JOB_COUNT=8", &["is 0", "counts from 1"]),
            ("TEST_SHARD_INDEX=4294967295 TEST_TOTAL_SHARDS=8", &["is 4294967295"]),
            ("TEST_SHARD_INDEX=1 TEST_TOTAL_SHARDS=4000000000", &["4000000000 shards"]),
        ] {
            let problem = in_environment(variables).unwrap_err().to_string();
            for word in words {
                assert!(problem.contains(word), "{variables}: {problem}");
            }
        }
    }

    #[test]
    fn the_total_for_engines_without_one_is_not_taken_for_others() {
        let found =
            in_environment("TEST_SHARD_INDEX=0 TEST_TOTAL_SHARDS=2 BOOTPROOF_SHARD_COUNT=9");
        assert_eq!(found.unwrap().shard.to_string(), "1/2");
    }
}
