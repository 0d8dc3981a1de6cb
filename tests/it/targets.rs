//! One assertion on many VMs: selectors, templates, `for_each`, and what `plan` makes of them.

use std::process::Command;
use std::sync::Arc;

use bootproof::assertion::Expectation;
use bootproof::spec::inventory::Inventory;
use bootproof::spec::plan::Plan;
use bootproof::spec::suite::Suite;
use serde_json::{Value, json};

/// Two web servers and a database.
fn inventory() -> Value {
    json!({
        "lab": "shop",
        "defaults": {"user": "ops", "password": "hunter2"},
        "vars": {"domain": "example", "limit": 90, "colour": "of the lab"},
        "groups": {
            "eu": {"vars": {"colour": "of the group", "zone": "a b"}},
            "fast": {"vars": {"colour": "of the group"}}
        },
        "vms": {
            "web-1": {
                "address": "10.0.0.1", "role": "web", "groups": ["eu", "fast"], "ports": [80, 443],
                "memory_gb": 2, "vars": {"name": "it's", "service": "nginx"}
            },
            "web-2": {
                "address": "10.0.0.2", "role": "web", "groups": ["eu"], "ports": [80],
                "memory_gb": 4, "vars": {"colour": "of the VM", "service": "nginx"}
            },
            "db": {"address": "10.0.0.9", "role": "db", "ports": [5432], "memory_gb": 8}
        }
    })
}

fn suite(assertion: impl Into<Value>) -> Value {
    let assertion: Value = assertion.into();
    json!({
        "vars": {"greeting": "hello", "needed": null},
        "scenarios": [{"name": "s", "custom_tests": [{"name": "t", "assertions": [assertion]}]}]
    })
}

fn resolve(inventory: &Value, suite: &Value) -> Result<Plan, String> {
    let inventory = Inventory::parse("i.json", &inventory.to_string()).expect("an inventory");
    let plan = Suite::parse("s.json", &suite.to_string())
        .and_then(|suite| Plan::resolve(&[suite], inventory));
    plan.map_err(|problems| problems.to_string())
}

fn plan(assertion: Value) -> Plan {
    resolve(&inventory(), &suite(assertion)).expect("a plan")
}

/// The ids, without the test's name.
fn ids(plan: &Plan) -> Vec<&str> {
    let ids = plan.assertions.iter().map(|one| one.id.as_str());
    ids.map(|id| id.strip_prefix("t::").expect("the test's name")).collect()
}

/// What each assertion does, in one line.
fn commands(plan: &Plan) -> Vec<String> {
    let command = |expectation: &Arc<Expectation>| match &**expectation {
        Expectation::CommandOutput(command) => command.command.clone(),
        other => other.describe(),
    };
    plan.assertions.iter().map(|one| command(&one.expectation)).collect()
}

fn command_on(on_vm: impl Into<Value>, command: &str) -> Value {
    json!({"type": "command_output", "on_vm": on_vm.into(), "name": "n", "command": command})
}

#[test]
fn an_assertion_holds_on_every_vm_of_its_selector() {
    for (on_vm, expected) in [
        (json!("db"), &["db::n"][..]),
        (json!("*"), &["web-1::n", "web-2::n", "db::n"]),
        (json!("role:web"), &["web-1::n", "web-2::n"]),
        (json!(["group:fast", "db"]), &["web-1::n", "db::n"]),
        (json!(["*", "!web-1"]), &["web-2::n", "db::n"]),
    ] {
        assert_eq!(ids(&plan(command_on(on_vm.clone(), "true"))), expected, "{on_vm}");
    }
}

#[test]
fn a_selector_may_match_nothing_only_if_the_suite_says_so() {
    let mut assertion = command_on("role:cache", "true");
    let error = resolve(&inventory(), &suite(assertion.clone())).unwrap_err();
    assert!(error.starts_with("s.json:1:"), "{error}");
    assert!(error.contains("no VM of i.json has the role `cache`"), "{error}");
    assertion["may_match_nothing"] = true.into();
    assert!(ids(&plan(assertion)).is_empty());
}

#[test]
fn templates_become_the_values_of_their_vm() {
    let text = "${{ vm.name }} ${{ vm.address }} ${{ vm.role }} ${{ vm.memory_gb }} \
                ${{ vm.ports | join('+') }} ${{ vms.db.address }} ${{ vms['web-2'].address }} \
                ${{ lab.name }} ${{ lab.vars.domain }} ${{ vars.greeting }} \
                ${{ vm.vars.x | default('-') }} ${x} {{.Go}} ${#x} $((1+1))";
    let mut assertion = command_on("role:web", "true");
    assertion["equals"] = text.into();
    let plan = plan(assertion);
    let expected = |text: &str| match &*plan.assertions[text.parse::<usize>().unwrap()].expectation
    {
        Expectation::CommandOutput(command) => command.equals.clone().unwrap(),
        _ => unreachable!(),
    };
    let rest = "10.0.0.9 10.0.0.2 shop example hello - ${x} {{.Go}} ${#x} $((1+1))";
    assert_eq!(expected("0"), format!("web-1 10.0.0.1 web 2 80+443 {rest}"));
    assert_eq!(expected("1"), format!("web-2 10.0.0.2 web 4 80 {rest}"));
}

#[test]
fn a_template_can_be_any_number_that_its_key_takes() {
    for (text, number) in [("90", "90"), ("0.5", "0.5"), ("-3", "-3"), (" -1.25 ", "-1.25")] {
        let mut assertion = command_on("db", "true");
        assertion["at_least"] = "${{ vars.greeting }}".into();
        assertion["exit_code"] = "${{ vm.memory_gb }}".into();
        assertion["timeout"] = "${{ vm.memory_gb }}".into();
        let inventory = Inventory::parse("i.json", &inventory().to_string()).unwrap();
        let mut suite = Suite::parse("s.json", &suite(assertion).to_string()).unwrap();
        suite.set_var("greeting", text).unwrap();
        let plan = Plan::resolve(&[suite], inventory).unwrap();
        let expected = plan.assertions[0].expectation.describe();
        assert_eq!(expected, format!("exits 8, output is at least {number}"));
    }
    let mut suite = suite(command_on("db", "true"));
    suite["vars"]["limit"] = 90.into();
    suite["scenarios"][0]["custom_tests"][0]["assertions"][0]["at_most"] =
        "${{ vars.limit }}".into();
    let plan = resolve(&inventory(), &suite).unwrap();
    assert_eq!(plan.assertions[0].expectation.describe(), "exits 0, output is at most 90");
}

#[test]
fn the_nearest_value_counts() {
    let plan = plan(command_on("*", "echo ${{ vm.vars.colour }}"));
    assert_eq!(commands(&plan), ["echo 'of the group'", "echo 'of the VM'", "echo 'of the lab'"]);
}

#[test]
fn groups_that_disagree_are_an_error_unless_the_vm_decides() {
    let mut inventory = inventory();
    inventory["groups"]["fast"]["vars"]["colour"] = "another".into();
    let parsed = Inventory::parse("i.json", &inventory.to_string());
    let error = parsed.unwrap_err().to_string();
    assert!(error.contains("groups `eu` and `fast` of web-1 disagree about the value `colour`"));
    inventory["vms"]["web-1"]["vars"]["colour"] = "mine".into();
    assert!(Inventory::parse("i.json", &inventory.to_string()).is_ok());
}

#[test]
fn a_value_stays_one_argument_of_a_command() {
    for value in [
        "; rm -rf /",
        "$(touch /tmp/x)",
        "`id`",
        "a b",
        "it's",
        "\"",
        "",
        "*",
        "a\nb",
        "\\",
        "-n",
        "~",
        "# no comment",
        "&& false",
    ] {
        let mut inventory = inventory();
        inventory["vms"]["db"]["vars"] = json!({"x": value});
        for command in [
            "printf '<%s>' ${{ vm.vars.x }}",
            "x=${{ vm.vars.x }}; printf '<%s>' \"$x\"",
            "printf '<%s>' \"$(printf '%s' ${{ vm.vars.x }}; echo .)\" | sed 's/[.]>$/>/'",
        ] {
            let plan = resolve(&inventory, &suite(command_on("db", command))).unwrap();
            let command = &commands(&plan)[0];
            let printed = Command::new("sh").args(["-c", command]).output().unwrap();
            let printed = String::from_utf8(printed.stdout).unwrap();
            assert_eq!(printed.trim_end(), format!("<{value}>").trim_end(), "{command}");
        }
    }
}

#[test]
fn a_list_becomes_words_and_raw_text_stays_as_it_is() {
    let plan = plan(command_on(
        "web-1",
        "for p in ${{ vm.ports + ['a b'] }}; do ${{ 'ls | wc' | raw }}; done",
    ));
    assert_eq!(commands(&plan), ["for p in 80 443 'a b'; do ls | wc; done"]);
}

#[test]
fn a_value_inside_quotes_is_an_error() {
    for command in [
        "echo '${{ vm.name }}'",
        "echo \"${{ vm.name }}\"",
        "awk '{ print ${{ vm.name }} }' f",
        "cat <<END\n${{ vm.name }}\nEND",
        "echo $((${{ vm.memory_gb }} + 1))",
        // Only `x` is raw here.
        "echo '${{ vm.name if true else 'x' | raw }}'",
        "echo '${{ vm.name or 'x' | raw }}'",
        "echo '${{ vm.name ~ 'x' | raw }}'",
    ] {
        let error = resolve(&inventory(), &suite(command_on("db", command))).unwrap_err();
        assert!(error.contains("not a plain word of the command"), "{command}: {error}");
        let raw =
            command.replace(" | raw", "").replace("${{ ", "${{ (").replace(" }}", ") | raw }}");
        assert!(resolve(&inventory(), &suite(command_on("db", &raw))).is_ok(), "{raw}");
    }
}

/// A value that would touch a file if it ever became code.
const HOSTILE: &str = "a[$(touch $MARK)]\nEOF\n`touch $MARK`; touch $MARK\n'\"\\";

#[test]
fn where_a_value_could_become_code_it_is_an_error() {
    let mut inventory = inventory();
    inventory["vms"]["db"]["vars"] = json!({"x": HOSTILE});
    for (command, message) in [
        ("test -d \\${{ vm.vars.x }}", "not a plain word"),
        ("test -d / # see\n${{- vm.vars.x }}", "cannot remove blanks"),
        ("ls ${{ vm.vars.x -}}\n", "cannot remove blanks"),
        ("cat <<EOF | grep -c .\n$(ls ${{ vm.vars.x }})\nEOF\n", "here-document"),
        ("cat <<EOF\na\n  EOF\n${{ vm.vars.x }}\nEOF\n", "here-document"),
        ("ls -d `dirname $(readlink -f ${{ vm.vars.x }})`", "backquotes"),
        ("[ -v ${{ vm.vars.x }} ] || ls", "evaluate"),
        ("ports=([${{ vm.vars.x }}]=1); ls", "not a plain word"),
        ("ls / >&${{ vm.vars.x }}", "not a plain word"),
        ("echo \"${{ vm.vars.x if(vm.name)else 'none'|raw }}\"", "not a plain word"),
        ("echo \"${{ vm.vars.x or('none')|raw }}\"", "not a plain word"),
        ("ls / ${{ '%s'|raw|format(vm.vars.x) }}", "filter format is unknown"),
        ("printf %s ${{ vm.name }}>&1", "not a plain word"),
    ] {
        let error = resolve(&inventory, &suite(command_on("db", command))).unwrap_err();
        assert!(error.contains(message), "{command}: {error}");
    }
}

#[test]
fn only_the_value_of_raw_itself_is_raw() {
    let mut inventory = inventory();
    inventory["vms"]["db"]["vars"] = json!({"x": "a; b", "html": "<&\">"});
    let command = |text: &str| {
        let plan = resolve(&inventory, &suite(command_on("db", text))).unwrap();
        commands(&plan)[0].clone()
    };
    assert_eq!(command("ls ${{ vm.vars.x | raw }}"), "ls a; b");
    assert_eq!(command("ls ${{ vm.vars.x | raw ~ 'c' }}"), "ls 'a; bc'");
    assert_eq!(command("ls ${{ vm.vars.x if true else 'y' | raw }}"), "ls 'a; b'");
    assert_eq!(command("ls ${{ vm.vars.x if false else 'y z' | raw }}"), "ls y z");
    assert_eq!(command("ls ${{ vm.vars.html | raw | upper }}"), "ls '<&\">'");
    // What is raw can begin quotes, in which nothing else may stand.
    let text = "ls ${{ '\"' | raw }}${{ vm.vars.x }}${{ '\"' | raw }}";
    let error = resolve(&inventory, &suite(command_on("db", text))).unwrap_err();
    assert!(error.contains("not a plain word"), "{error}");
}

#[test]
fn a_list_is_only_whole_arguments_and_never_empty() {
    let mut inventory = inventory();
    inventory["vms"]["db"]["vars"] = json!({"list": ["a b", "c"], "empty": [], "null": null});
    let resolve = |text: &str| resolve(&inventory, &suite(command_on("db", text)));
    let plan = resolve("ls ${{ vm.vars.list }}").unwrap();
    assert_eq!(commands(&plan), ["ls 'a b' c"]);
    for text in
        ["x=${{ vm.vars.list }}; ls", "x=${{ vm.vars.list }} ls", "ls > ${{ vm.vars.list }}"]
    {
        let error = resolve(text).unwrap_err();
        assert!(error.contains("a list can only be whole arguments"), "{error}");
    }
    for (text, message) in [
        ("ls ${{ vm.vars.empty }}", "the list is empty"),
        ("for x in ${{ vm.vars.empty }}; do ls; done", "the list is empty"),
        ("ls ${{ vm.vars.null }}", "the value is null"),
    ] {
        let error = resolve(text).unwrap_err();
        assert!(error.contains(message), "{error}");
    }
    assert_eq!(commands(&resolve("ls ${{ vm.vars.null | default('d') }}").unwrap()), ["ls d"]);
}

#[test]
fn a_null_removes_no_expectation() {
    let mut inventory = inventory();
    inventory["vms"]["db"]["vars"] = json!({"null": null});
    for value in ["${{ vm.vars.null }}", "a${{ vm.vars.null }}"] {
        for key in ["equals", "contains", "matches", "at_most", "exit_code", "name"] {
            let mut assertion = command_on("db", "ls");
            assertion[key] = value.into();
            let error = resolve(&inventory, &suite(assertion)).unwrap_err();
            assert!(error.contains("the value is null"), "{key}: {error}");
            assert!(error.contains(&format!("assertions[0].{key}")), "{key}: {error}");
        }
    }
}

#[test]
fn a_key_that_is_null_is_an_error() {
    for key in ["equals", "wait", "name", "may_match_nothing", "for_each"] {
        let mut assertion = command_on("db", "ls");
        assertion[key] = Value::Null;
        let error = resolve_suite(&suite(assertion)).unwrap_err();
        assert!(error.contains(&format!("`{key}` is null")), "{error}");
    }
    let params = json!({"type": "command_output", "on_vm": "db", "params": {
        "command": "ls", "at_most": null
    }});
    let error = resolve_suite(&suite(params)).unwrap_err();
    assert!(error.contains("`at_most` is null"), "{error}");
}

fn resolve_suite(suite: &Value) -> Result<Plan, String> {
    let inventory = Inventory::parse("i.json", &inventory().to_string()).expect("an inventory");
    let suite = Suite::parse("s.json", &suite.to_string()).map_err(|error| error.to_string())?;
    Plan::resolve(&[suite], inventory).map_err(|error| error.to_string())
}

#[test]
fn a_name_without_letters_is_an_error() {
    for name in ["", "!!!"] {
        let mut assertion = command_on("db", "ls");
        assertion["name"] = name.into();
        let error = resolve_suite(&suite(assertion)).unwrap_err();
        assert!(error.contains("the name has no letter and no digit"), "{error}");
        let mut written = suite(command_on("db", "ls"));
        written["scenarios"][0]["custom_tests"][0]["name"] = name.into();
        let error = resolve_suite(&written).unwrap_err();
        assert!(error.contains("custom_tests[0].name"), "{error}");
    }
    let mut assertion = command_on("db", "ls");
    assertion["name"] = "日本".into();
    assert_eq!(ids(&plan(assertion)), ["db::日本"]);
}

#[test]
fn for_each_has_a_limit_and_looks_quickly_for_duplicates() {
    let list = |count: usize| (0..count).collect::<Vec<_>>();
    let mut assertion = command_on("db", "ls");
    assertion["for_each"] = json!({"a": list(101), "b": list(100)});
    let error = resolve(&inventory(), &suite(assertion.clone())).unwrap_err();
    assert!(error.contains("makes more than 10000 assertions"), "{error}");
    let started = std::time::Instant::now();
    let mut twice = list(200_000);
    twice.push(5);
    assertion["for_each"] = json!({"a": twice});
    let error = resolve(&inventory(), &suite(assertion)).unwrap_err();
    assert!(error.contains("the list has the value 5 twice"), "{error}");
    assert!(started.elapsed().as_secs() < 30);
}

#[test]
fn an_empty_list_of_the_suite_may_be_overridden() {
    let mut assertion = command_on("db", "ls ${{ each.port }}");
    assertion["for_each"] = json!({"port": "${{ vars.ps }}"});
    let mut written = suite(assertion);
    written["vars"]["ps"] = json!([]);
    let mut suite = Suite::parse("s.json", &written.to_string()).unwrap();
    assert!(suite.set_var("ps", "[22]").unwrap());
    let inventory = Inventory::parse("i.json", &inventory().to_string()).unwrap();
    let plan = Plan::resolve(&[suite], inventory).unwrap();
    assert_eq!(commands(&plan), ["ls 22"]);
}

#[test]
fn a_value_in_a_pattern_or_a_jq_program_is_no_code() {
    let mut inventory = inventory();
    inventory["vms"]["db"]["vars"] = json!({"re": ".*", "jq": "\" or true or \"\\(1)", "n": 5});
    let read = |key: &str, value: &str| {
        let mut assertion = command_on("db", "ls");
        assertion[key] = value.into();
        let plan = resolve(&inventory, &suite(assertion))?;
        match &*plan.assertions[0].expectation {
            Expectation::CommandOutput(command) => {
                Ok::<_, String>(command.matches.clone().or(command.jq.clone()).unwrap())
            }
            _ => unreachable!(),
        }
    };
    assert_eq!(read("matches", "^ID=${{ vm.vars.re }}$").unwrap(), "^ID=\\.\\*$");
    assert_eq!(read("matches", "^ID=${{ vm.vars.re | raw }}x$").unwrap(), "^ID=.*x$");
    assert_eq!(
        read("jq", ".role == \"${{ vm.vars.jq }}\"").unwrap(),
        r#".role == "\" or true or \"\\(1)""#
    );
    assert_eq!(read("jq", ".n == ${{ vm.vars.n }}").unwrap(), ".n == 5");
    assert_eq!(read("jq", ".n == ${{ vm.ports }}").unwrap(), ".n == [5432]");
    let error = read("jq", ".role == ${{ vm.vars.jq }}").unwrap_err();
    assert!(error.contains("needs quotes around the template"), "{error}");
}

#[test]
fn no_expression_can_crash_or_fill_the_memory() {
    let filters = |count: usize| format!("${{{{ 'x'{} }}}}", "|upper".repeat(count));
    let nested =
        |open: &str, close: &str| format!("${{{{ {}1{} }}}}", open.repeat(400), close.repeat(400));
    for expression in [
        filters(50_000),
        nested("(", ")"),
        nested("[", "]"),
        format!("${{{{ 'a'{} }}}}", "|replace('a','aaaaaaaaaa')".repeat(30)),
        format!("${{{{ 'aa'{} }}}}", "|join('bbbb')".repeat(60)),
        "${{ ([1] * 1000000) | join('aaaaaaaaaa') }}".to_owned(),
        "${{ [1] * 1000000000 }}".to_owned(),
        "${{ ([1, 2] * 1000000) | map('replace', '1', 'aaa') }}".to_owned(),
        "${{ 'abc'[::-9223372036854775808] }}".to_owned(),
        "${{ [1] | batch(1000000000) }}".to_owned(),
        "${{ [1] | slice(1000000000) }}".to_owned(),
        "${{ 'a' | indent(1000000000) }}".to_owned(),
        "${{ '%1000000000d' | format(1) }}".to_owned(),
        "${{ range(1000000000) }}".to_owned(),
    ] {
        let mut assertion = command_on("db", "ls");
        assertion["equals"] = expression.clone().into();
        let error = resolve(&inventory(), &suite(assertion)).unwrap_err();
        assert!(error.contains("this template"), "{}: {error}", &expression[..40]);
    }
    for (expression, value) in [
        (filters(150), "X"),
        (nested("- ", ""), "1"),
        ("${{ 'abc'[1:] ~ 'abc'[-9223372036854775808:1] }}".to_owned(), "bca"),
        ("${{ [3, 1, 2] | sort(reverse=true) | join(',') }}".to_owned(), "3,2,1"),
        ("${{ ['a', 'b'] | reject('eq', 'a') | first }}".to_owned(), "b"),
        ("${{ [{'u': 'x'}] | map(attribute='u') | join }}".to_owned(), "x"),
        ("${{ 1 in [1] }} ${{ 'x' if 2 is odd else 'y' }}".to_owned(), "true y"),
    ] {
        let mut assertion = command_on("db", "ls");
        assertion["equals"] = expression.clone().into();
        let plan = resolve(&inventory(), &suite(assertion)).unwrap();
        let Expectation::CommandOutput(command) = &*plan.assertions[0].expectation else {
            unreachable!()
        };
        assert_eq!(command.equals.as_deref(), Some(value), "{expression}");
    }
}

#[test]
fn numbers_and_durations_can_come_from_templates() {
    let assertion = json!({
        "type": "port_listening", "on_vm": "web-2", "port": "${{ vm.ports[0] }}",
        "timeout": "${{ 2 * 3 }}s", "wait": "${{ lab.vars.limit }}"
    });
    let plan = plan(assertion);
    let one = &plan.assertions[0];
    assert_eq!(ids(&plan), ["web-2::80"]);
    assert_eq!((one.timeout.as_secs(), one.wait.unwrap().as_secs()), (6, 90));
    let quoted = json!({"type": "port_listening", "on_vm": "web-2", "port": "80"});
    let error = resolve(&inventory(), &suite(quoted)).unwrap_err();
    assert!(error.contains("write 80 without quotes"), "{error}");
    let word = json!({"type": "port_listening", "on_vm": "web-2", "port": "${{ vm.name }}"});
    let error = resolve(&inventory(), &suite(word)).unwrap_err();
    assert!(error.contains("invalid type: string \"web-2\""), "{error}");
}

#[test]
fn for_each_makes_one_assertion_of_each_value() {
    let ports = json!({
        "type": "port_listening", "on_vm": "role:web", "port": "${{ each.port }}",
        "for_each": {"port": "${{ vm.ports }}"}
    });
    assert_eq!(ids(&plan(ports)), ["web-1::80", "web-1::443", "web-2::80"]);

    let mut named = command_on("db", "systemctl is-active ${{ each.unit }}");
    named["for_each"] = json!({"unit": ["ssh", "cron"]});
    assert_eq!(ids(&plan(named.clone())), ["db::n-ssh", "db::n-cron"]);
    named["name"] = "${{ each.unit }}-runs".into();
    assert_eq!(ids(&plan(named)), ["db::ssh-runs", "db::cron-runs"]);

    let mut unnamed = command_on("db", "ls ${{ each.at.path }} ${{ each.flag }}");
    unnamed.as_object_mut().unwrap().remove("name");
    unnamed["equals"] = "x".into();
    unnamed["for_each"] =
        json!({"at": [{"name": "a", "path": "/a"}, {"name": "b", "path": "/b"}], "flag": [1, 2]});
    let plan = plan(unnamed);
    assert_eq!(ids(&plan), ["db::x-a-1", "db::x-a-2", "db::x-b-1", "db::x-b-2"]);
    assert_eq!(commands(&plan), ["ls /a 1", "ls /a 2", "ls /b 1", "ls /b 2"]);
}

#[test]
fn secrets_are_out_of_reach_of_templates() {
    for name in
        ["vm.password", "vm.ssh.password", "lab.defaults.password", "vms.db.ssh", "env.HOME"]
    {
        let mut assertion = command_on("db", "true");
        assertion["contains"] = format!("${{{{ {name} }}}}").into();
        let error = resolve(&inventory(), &suite(assertion)).unwrap_err();
        assert!(error.contains("unknown name"), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}

#[test]
fn a_value_of_the_suite_can_be_set_and_must_be_of_its_kind() {
    let mut written = suite(command_on("db", "echo ${{ vars.greeting }} ${{ vars.needed }}"));
    written["vars"]["number"] = 5.into();
    let mut parsed = Suite::parse("s.json", &written.to_string()).unwrap();
    assert_eq!(parsed.set_var("greeting", "good day"), Ok(true));
    assert_eq!(parsed.set_var("absent", "x"), Ok(false));
    assert_eq!(parsed.set_var("number", "7"), Ok(true));
    let error = parsed.set_var("number", "seven").unwrap_err().to_string();
    assert!(error.contains("`seven` cannot replace the value `number`"), "{error}");

    let lab = || Inventory::parse("i.json", &inventory().to_string()).unwrap();
    let error = Plan::resolve(&[parsed.clone()], lab()).unwrap_err().to_string();
    assert!(error.contains("unknown name `vars.needed`") && error.contains("--var"), "{error}");
    assert_eq!(parsed.set_var("needed", "it"), Ok(true));
    assert_eq!(commands(&Plan::resolve(&[parsed], lab()).unwrap()), ["echo 'good day' it"]);
}

#[test]
fn mistakes_that_no_value_can_solve_are_found_without_an_inventory() {
    for (key, value, expected) in [
        ("command", json!("ls ${{ vm.adress }}"), "did you mean `vm.address`?"),
        ("command", json!("ls ${{ vm.name"), "this template cannot be read"),
        ("command", json!("ls ${{ vm.name | uper }}"), "uper"),
        ("contians", json!("${{ vm.name }}"), "did you mean `contains`?"),
        ("matches", json!("("), "regex parse error"),
        ("for_each", json!({"x": []}), "the list is empty"),
    ] {
        let mut assertion = command_on("*", "ls ${{ vm.name }}");
        assertion[key] = value;
        let error = Suite::parse("s.json", &suite(assertion).to_string()).unwrap_err().to_string();
        assert!(error.contains(expected), "{key}: {error}");
    }
    // Only the inventory knows these.
    for (key, value) in [
        ("command", json!("ls ${{ vm.vars.any.thing }} ${{ vms.some.address }}")),
        ("matches", json!("${{ vm.vars.pattern }}")),
        ("for_each", json!({"x": "${{ vm.vars.list }}"})),
    ] {
        let mut assertion = command_on("*", "ls");
        assertion[key] = value;
        assert!(
            Suite::parse("s.json", &suite(assertion.clone()).to_string()).is_ok(),
            "{assertion}"
        );
    }
}
