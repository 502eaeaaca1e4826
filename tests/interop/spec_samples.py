"""Specs (without their name) for what torc's examples leave out: odd values, variables, tokens."""

SAMPLES = {
    "ranges": r"""
jobs:
  - name: "up{a}_{b:03d}_{c}"
    command: "echo {a:02d} {b} {c:.3f} {c} {a:.2f} {c:03d} ${a} {unknown} {a:x}"
    parameters: {a: "-1:1", b: "0:100:50", c: "0.0:0.6:0.2"}
  - {name: "down{a}", command: "echo {a:03d}", parameters: {a: " 5 : -5 : -5 "}}
  - {name: "braces{a}", command: "echo {a}", parameters: {a: "{1:3}"}}
  - {name: "half{a}", command: "echo {a:.1f}", parameters: {a: "1:2.5"}}
  - {name: "empty{a}", command: "echo {a}", parameters: {a: "2:1"}}
  - {name: "stepless{a}", command: "echo {a}", parameters: {a: "1:2:"}}
""",
    "values": r"""
jobs:
  - name: "list_{v}"
    command: "echo {v:03d} {v:.2f} {v}"
    parameters:
      v: [1e-3, 0x1F, 1.0, true, "01", "a,b", null, .5, 1e20, 1e-7, -2, +3, 007, 1_0, 0o17, word, "q'q", 2.50]
  - {name: "text_{v}", command: "echo {v}", parameters: {v: "[ 'train', \"test\", 3, 1e2, , 'x y' ]"}}
  - {name: "one_{v}", command: "echo {v:02d}", parameters: {v: 7}}
  - {name: "float_{v}", command: "echo {v}", parameters: {v: 1.50}}
  - {name: "word_{v}", command: "echo {v}", parameters: {v: "hello world"}}
  - {name: "big_{v}", command: "echo {v}", parameters: {v: [9223372036854775807, 9223372036854775808]}}
  - {name: none, command: "echo {v}", parameters: {}}
""",
    "zip": r"""
files:
  - {name: "f_{a}_{b}", path: "/nowhere/{a}/{b:.1f}", parameters: {a: [x, y], b: [1, 2.25]}, parameter_mode: zip}
jobs:
  - name: "j_{a}_{b}"
    command: "echo {a} {b} > ${files.output.f_{a}_{b}}"
    env: {WHICH: "{a}"}
    parameters: {a: [x, y], b: [1, 2.25]}
    parameter_mode: zip
    resource_requirements: "r_{a}"
  - {name: after, command: "true", depends_on: [j_x_1], input_files: [f_y_2.25]}
resource_requirements:
  - {name: r_x, num_cpus: 1, memory: 1m}
  - {name: r_y, num_cpus: 2, memory: 2g, num_gpus: 1, runtime: PT5M}
""",
    "shared": r"""
parameters: {seed: 42, lr: [0.1, 0.01], unused: "1:3"}
env: {SEED: "{seed}", OTHER: "{nothing}"}
jobs:
  - {name: "train_{lr}", command: "echo {lr} {seed}", use_parameters: [lr, seed, nowhere]}
  - {name: "own_{lr}", command: "echo {lr} {seed}", use_parameters: [seed], parameters: {lr: [5]}}
  - {name: plain, command: "echo {lr}"}
  - {name: lost, command: "echo {nowhere}", use_parameters: [nowhere]}
""",
    "variables": r"""
description: "of {team}"
project: "{team}"
metadata: {who: "{team}", deep: [{also: "{team:x}"}], number: 1}
variables: {root: /data/x, team: "ours ${HOME}", image: "py:3"}
env: {ROOT: "{root}"}
parameters: {dir: ["{root}/a", "{root}/b"]}
files:
  - {name: clean, path: "{root}/clean"}
jobs:
  - {name: "at_{i}", command: "echo {root} ${root} {i:02d} '{print $1}' {} '{ {root} }'", parameters: {i: "1:2"}}
  - {name: reads, command: "cat ${files.input.clean} {image}", depends_on: [at_1]}
  - {name: "use_{n}_{dir}", command: "ls {dir} {n}", use_parameters: [dir], parameters: {n: "[{root},b]", dir: "1:2"}}
""",
    "tokens": r"""
files:
  - {name: in, path: here.txt}
  - {name: gone, path: not/here.txt}
  - {name: told, path: there.txt, st_mtime: 1700000000.25}
  - {name: out, path: out.txt}
  - {name: more, path: more.txt}
  - {name: "odd name", path: "odd name.txt"}
jobs:
  - name: replaced
    command: "cp ${files.input.in} ${files.output.out}; cat ${files.input.in} ${files.input.nowhere}"
    input_files: [gone]
    output_files: [more]
  - name: added
    command: "cat '${files.input.odd name}' ${files.output.more}"
    invocation_script: |
      source ${files.input.told} ${files.input.out}
      echo ${user_data.input.x}
    input_files: [gone]
    priority: 0
  - name: listed
    command: "true"
    invocation_script: "env A=1"
    input_files: [more, gone]
    cancel_on_blocking_job_failure: false
    priority: 3
""",
}

REFUSED_BY_BOTH = {
    "unequal zip": """
jobs: [{name: "{a}{b}", command: x, parameters: {a: "1:2", b: "1:3"}, parameter_mode: zip}]
""",
    "a step of zero": 'jobs: [{name: "{a}", command: x, parameters: {a: "1:2:0"}}]',
    "no range": 'jobs: [{name: "{a}", command: x, parameters: {a: "one:two"}}]',
    "a broken step": 'jobs: [{name: "{a}", command: x, parameters: {a: "1:9:0.5"}}]',
    "names that double": 'jobs: [{name: a, command: "echo {i}", parameters: {i: "1:2"}}]',
    "files that double": """
files: [{name: f, path: "{i}", parameters: {i: "1:2"}}]
jobs: [{name: a, command: x}]
""",
    "an unknown file": "jobs: [{name: a, command: x, input_files: [nowhere]}]",
    "an unknown output": "jobs: [{name: a, command: x, output_files: [nowhere]}]",
    "an unknown variable": 'variables: {a: b}\njobs: [{name: a, command: "echo {c}"}]',
    "a variable that is a parameter": """
variables: {i: b}
jobs: [{name: "a{i}", command: x, parameters: {i: "1:2"}}]
""",
    "a variable in a variable": 'variables: {a: "{b}", b: c}\njobs: [{name: a, command: x}]',
    "a variable that is a number": "variables: {a: 1}\njobs: [{name: a, command: x}]",
    "a variable with a dash": "variables: {a-b: c}\njobs: [{name: a, command: x}]",
    "a negative priority": "jobs: [{name: a, command: x, priority: -1}]",
    "a job that is a number": "jobs: [{name: a, command: 1e3}]",
    "an infinite name": "jobs: [{name: .inf, command: x}]",
}
