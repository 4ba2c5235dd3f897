"""A policy with caches, for questions about pairs of requests."""

CACHED = """
providers: {p: {kind: openai, base_url: "http://127.0.0.1:1/v1", api_key: none}}
deployments: {a: {provider: p, model: m}}
routes:
  - model: faq
    targets: [a]
    cache: {semantic: {max_false_hits: 1%, judge: {deployment: a, max_risk: 90%}}, tags: [x]}
  - {model: words, targets: [a], cache: {max_temperature: 0.5}}
  - {model: other, targets: [a], cache: {semantic: true}}
  - {model: shared1, targets: [a], cache: {semantic: true, group: g}}
  - {model: shared2, targets: [a], cache: {semantic: true, group: g, ignore: [user]}}
  - {model: plain, targets: [a]}
teams: {red: {}, blue: {}}
keys:
  - {name: red, secret: "sk-a-key-for-tests-only-0123456789", team: red}
  - {name: red2, secret: "sk-b-key-for-tests-only-0123456789", team: red}
  - {name: blue, secret: "sk-c-key-for-tests-only-0123456789", team: blue}
  - {name: off, secret: "sk-d-key-for-tests-only-0123456789", team: red, cache: false}
"""
