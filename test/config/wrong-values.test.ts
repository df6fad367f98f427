// What an operator reads who wrote a wrong value.
import { expect, test } from 'vitest'
import { fields } from '../../src/config/field-table.ts'
import { renderFinding } from '../../src/config/finding.ts'
import { judgeGiven } from '../../src/config/judge.ts'

const judge = (name: string, value: string) =>
  judgeGiven(new Map([[name, { value, origin: { kind: 'environment' } }]])).problems.map(renderFinding)

test('whatever is wrong in REGISTRATION_JSON is told with its place, and with what to write there', () => {
  const body = {
    id: 5,
    host: 'http://x',
    inference_port: '5000',
    poc_port: 70000,
    poc_segment: 4,
    base_url: 'x',
    auth_token: ['hush'],
    models: { 'a/b': { args: 'x' }, c: 5, d: { args: [1] }, '': {} },
    hardware: [{ type: 1, count: 'four' }, 3],
  }
  const problems = judge('REGISTRATION_JSON', JSON.stringify(body))
  expect(problems).toEqual([
    'REGISTRATION_JSON id (environment): is not a text; write the id of this node',
    'REGISTRATION_JSON host (environment): is no host; write a name or address without scheme: API nodes paste it after http://',
    'REGISTRATION_JSON inference_port (environment): is not a whole number; write a port from 1 to 65535',
    'REGISTRATION_JSON poc_port (environment): is no port; write one from 1 to 65535',
    'REGISTRATION_JSON poc_segment (environment): is not a text; write a path such as "/v1", or remove it',
    'REGISTRATION_JSON base_url (environment): is no address; write one such as "https://node.example/path"',
    'REGISTRATION_JSON auth_token (environment): is not a text; write the token between double quotes, or remove it',
    'REGISTRATION_JSON max_concurrent (environment): is missing; write how many requests at once, for example 500',
    'REGISTRATION_JSON models["a/b"].args (environment): is not a list; write ["--max-model-len","8192"], or remove it',
    'REGISTRATION_JSON models.c (environment): is not an object; write {"args":[]}',
    'REGISTRATION_JSON models.d.args[0] (environment): is not a text; write it between double quotes: every argument is a text',
    'REGISTRATION_JSON models (environment): has a model without a name; write ORG/NAME',
    'REGISTRATION_JSON hardware[0].type (environment): is not a text; write the name of the GPU, for example "NVIDIA H100 80GB HBM3 | 79GB"',
    'REGISTRATION_JSON hardware[0].count (environment): is not a whole number; write how many there are, for example 8',
    'REGISTRATION_JSON hardware[1] (environment): is not an object; write {"type":"NVIDIA H100 80GB HBM3 | 79GB","count":8}',
  ])
})

test.each([
  ['{"id":"x","max_concurrent":1,"models":{"m":{}}}', /has no host, no inference_port, no poc_port; write host/],
  ['{"id":"x","base_url":"http://h","host":"h","max_concurrent":1,"models":{"m":{}}}', / base_url .*: excludes host/],
  ['{"id":" ","base_url":"http://h","max_concurrent":1,"models":{"m":{}}}', / id .*: is blank; write/],
  ['{"id":"x","base_url":"http://h","max_concurrent":0,"models":{"m":{}}}', /is not above 0; write/],
  ['{"id":"x","base_url":"http://h","max_concurrent":1,"models":{}}', / models .*: names no model; write/],
  ['{"id":"x","base_url":"http://h","max_concurrent":1,"models":[]}', / models .*: names no model; write/],
  ['{"id"', /is not JSON; write|is not JSON .*; write/],
])('REGISTRATION_JSON %s is refused with what to write', (json, expected) => {
  const problems = judge('REGISTRATION_JSON', json)
  expect(problems).toHaveLength(1)
  expect(problems[0]).toMatch(expected)
})

test('whatever is written into any setting, a problem says what is wrong and what to write, never in words of a schema', () => {
  const values = [
    'two words',
    '-1',
    '1e99',
    '~/x',
    '{',
    '[]',
    '{}',
    'null',
    'http://x:y',
    ',',
    ':0',
    '0'.repeat(40),
    '"',
  ]
  const said = fields.flatMap(({ meta }) => values.flatMap((value) => judge(meta.env, value)))
  expect(said.length).toBeGreaterThan(200)
  for (const line of said) {
    const message = line.slice(line.indexOf(': ') + 2)
    expect(message).toMatch(/^.+; (write|remove|set|close) |^must be .*; write /)
    expect(message).not.toMatch(/invalid|expected|received|regex|pattern/i)
  }
})
