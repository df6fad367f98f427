import { execFileSync } from 'node:child_process'
import dotenv from 'dotenv'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { parseEnvFile } from '../../src/config/env-file.ts'
import { renderPortable } from '../../src/config/portable.ts'

const valueOf = (text: string, name = 'A') => parseEnvFile(text).variables.get(name)?.value

/** Every row of facts/systemd.md 3.3: the line, what we read, and what the warning must say (undefined: all agree). */
const rows: [line: string, value: string, warning: RegExp | undefined][] = [
  ['A=$HOME/x', '$HOME/x', /bash expands \$; write A='\$HOME\/x'/],
  ['A="q $HOME"', 'q $HOME', /bash expands \$; write A='q \$HOME'/],
  ["A='q $HOME'", 'q $HOME', undefined],
  ['A=a b c', 'a b c', /runs what follows a blank as a command; write A='a b c'/],
  ['A=val # c', 'val', /systemd takes the comment into the value; write A=val$/],
  ['A="val" # c', 'val', /systemd takes the comment into the value; write A=val$/],
  ["A='val' # c", 'val', /systemd takes the comment into the value/],
  ['A=a#b', 'a', /only what is before # is read here.*write A='a#b'/],
  ['A=#h', '', /only what is before # is read here.*write A='#h'/],
  ['A= # c', '', /bash allows no blanks|comment/],
  ['export A=x', 'x', /systemd ignores a line with export; write A=x/],
  ['A = x', 'x', /bash allows no blanks around =; write A=x/],
  ['A= x', 'x', /bash allows no blanks around =; write A=x/],
  ['A: x', 'x', /do not know `NAME: value`; write A=x/],
  ['A="x\\ny"', 'x\ny', /line break of \\n/],
  ['A="\\"q\\" \\$ \\\\"', '\\"q\\" \\$ \\\\', /drop backslashes; write/],
  ["A='it'\\''s'", "it'\\''s", /several quoted pieces; write A="it's"/],
  ['A="it\'s"', "it's", undefined],
  ['A="a\nb"', 'a\nb', undefined],
  ['A=back\\\nslash', 'back\\', /drop backslashes/],
  ['A=c:\\dir', 'c:\\dir', /drop backslashes; write A='c:\\dir'/],
  ['A="a"b\'c\'', '"a"b\'c\'', /several quoted pieces; write A=abc/],
  ['A={"a":"b"}', '{"a":"b"}', /bash drops the quotes; write A='\{"a":"b"\}'/],
  ['A=\'{"a":"b c"}\'', '{"a":"b c"}', undefined],
  ['A=$(cmd)', '$(cmd)', /runs the command in it/],
  ['A=`cmd`', 'cmd', /runs what is between backticks/],
  ['A=x`cmd`', 'x`cmd`', /runs the command in it/],
  ['A=pa$$word', 'pa$$word', /bash expands \$; write A='pa\$\$word'/],
  ['A=~/x', '~/x', /expands ~; write A='~\/x'/],
  ['A=a;b', 'a;b', /ends the value at ;.*write A='a;b'/],
  ['A=a&b', 'a&b', /ends the value at/],
  ['A.B=1\nA=2', '2', /do not take this for the name/],
  ['1X=1\nA=2', '2', /do not take this for the name/],
  ['U-V=1\nA=2', '2', /do not take this for the name/],
  ['A=1\nA=2', '2', /is set on line 1 too and this one counts/],
  ['A=\n"x"', 'x', /begins on the next line/],
  ['; comment\nA=2', '2', /begins a comment with ;/],
  ['set -a\nA=2', '2', /"set -a" is not NAME=value/],
  ["A='x\nB=2\ny'", 'x\nB=2\ny', /swallow the assignments/],
  ['A=plain/value:1,2@x%+=-_.', 'plain/value:1,2@x%+=-_.', undefined],
  ['# A=1\nA=2\n\n  # more', '2', undefined],
  ['A=', '', undefined],
  ['A=""', '', undefined],
]

test.each(rows)('the line %j is read as %j, with its warning', (line, value, warning) => {
  const { warnings, problems, variables } = parseEnvFile(`${line}\n`)
  expect(variables.get('A')?.value).toBe(value)
  expect(problems).toEqual([])
  const text = warnings.map((one) => one.message).join('\n')
  expect(text).toMatch(warning ?? /^$/)
})

test('a line that reads the same everywhere is one that bash reads as we do', () => {
  for (const [line, value, warning] of rows) {
    if (warning) continue
    const printed = execFileSync('bash', [], { input: `${line}\nprintf %s "$A"\n` })
    expect(printed.toString()).toBe(value)
  }
})

test.each([
  ['Windows line ends', 'A=x\r\nB="y z"\r\n', /Windows line ends/],
  ['old Mac line ends', 'A=x\rB="y z"\r', /Windows line ends/],
  ['a byte order mark', '\uFEFFA=x\nB="y z"\n', /byte order mark/],
])('%s change no value and are warned about once', (_name, text, warning) => {
  const { variables, warnings, problems } = parseEnvFile(text)
  expect([...variables].map(([name, one]) => [name, one.value, one.line])).toEqual([
    ['A', 'x', 1],
    ['B', 'y z', 2],
  ])
  expect(problems).toEqual([])
  expect(warnings).toHaveLength(1)
  expect(warnings[0]?.message).toMatch(warning)
})

test.each([
  ['a double quote', 'A="abc\nB=2\n', 'A', 1],
  ['a single quote', "B=2\nA='abc\n", 'A', 2],
  ['the JSON of a file cut short', 'C=1\nA=\'{"id":"x",', 'A', 2],
])('%s that is never closed is a problem on its line', (_name, text, variable, line) => {
  expect(parseEnvFile(text).problems).toEqual([
    { line, variable, message: expect.stringContaining('quote that is not closed') as string },
  ])
})

test('a file that ends in the middle of a name is half written', () => {
  expect(parseEnvFile('A=1\nMODEL_NA').problems).toEqual([
    { line: 2, message: expect.stringContaining('ends in the middle of a line') as string },
  ])
  expect(parseEnvFile('A=1\nB=2').problems).toEqual([])
})

test('lines are counted through comments, blank lines and values of several lines', () => {
  const { variables } = parseEnvFile('# one\n\nA=1 # x\n\n# two\nB="x\ny"\n\n  C=3\njunk\n\n\nD=4')
  expect([...variables].map(([name, { line }]) => [name, line])).toEqual([
    ['A', 3],
    ['B', 6],
    ['C', 9],
    ['D', 13],
  ])
})

test('the spelling shown for a secret holds nothing of it', () => {
  const { warnings } = parseEnvFile(
    'SECRET_FRP_TOKEN=my $ecret\nHF_TOKEN="a$b"\nREGISTRATION_JSON={"auth_token":"hush hush"}\n',
  )
  const text = warnings.map((one) => one.message).join('\n')
  expect(warnings).toHaveLength(3)
  expect(text).not.toMatch(/ecret|a\$b|hush/)
})

test('thousands of lines that are no assignments make a few warnings', () => {
  const { warnings } = parseEnvFile('not an assignment\n'.repeat(5000))
  expect(warnings.length).toBeLessThan(20)
  expect(warnings.at(-1)?.message).toMatch(/4990 more lines/)
})

test('a megabyte of blanks, for which the grammar needs hours, is refused at once', () => {
  const before = process.cpuUsage()
  expect(parseEnvFile(`A=1\n${'\n'.repeat(1 << 20)}B=2`).problems).toHaveLength(1)
  expect(parseEnvFile(`${`${' '.repeat(500)}\n#`.repeat(1000)}\nB=2\n`).variables.get('B')?.value).toBe('2')
  // Of our own CPU: a busy machine may take its time.
  expect(process.cpuUsage(before).user).toBeLessThan(10_000_000)
})

test('names of the language itself are ordinary names', () => {
  const { variables } = parseEnvFile('constructor=a\ntoString=b\n__proto__=c\nA=1\n')
  expect(variables.get('constructor')?.value).toBe('a')
  expect(typeof variables.get('__proto__')?.value).toBe('string')
})

const anyText = fc.string({ unit: 'grapheme', maxLength: 40 })
const nasty = fc.string({ unit: fc.constantFrom(...'ab =:#\'"`$\\\n\r;~&{}\t'.split('')), maxLength: 40 })

test('whatever the text, values are those of dotenv, with a line that exists', () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.oneof(
          nasty,
          nasty.map((tail) => `A=${tail}`),
          fc.constant('B=1'),
        ),
        { maxLength: 6 },
      ),
      (lines) => {
        const text = lines.join('\n')
        const { variables } = parseEnvFile(text)
        const expected = dotenv.parse(text)
        expect(Object.fromEntries([...variables].map(([name, { value }]) => [name, value]))).toEqual({ ...expected })
        const count = text.split(/\r\n?|\n/).length
        for (const [name, { line }] of variables) {
          expect(line).toBeGreaterThanOrEqual(1)
          expect(line).toBeLessThanOrEqual(count)
          expect(text.split(/\r\n?|\n/)[line - 1]).toContain(name)
        }
      },
    ),
    { numRuns: 3000 },
  )
})

test('a portable spelling is read back as it was, without a warning, whatever stands below it', () => {
  fc.assert(
    fc.property(fc.oneof(anyText, nasty), nasty, (value, below) => {
      const line = renderPortable('A', value)
      if (line === undefined) return
      const { warnings, problems } = parseEnvFile(`${line}\n`)
      expect([warnings, problems]).toEqual([[], []])
      expect(valueOf(`${line}\n#${below.replaceAll(/\s/g, '')}\n`)).toBe(value)
    }),
    { numRuns: 3000 },
  )
})

test('bash reads a portable spelling as we do', () => {
  const values = fc.sample(nasty, { numRuns: 300, seed: 7 }).filter((one) => renderPortable('A', one) !== undefined)
  const script = values.map((one) => `${renderPortable('A', one)}\nprintf '%s\\0' "$A"`).join('\n')
  const read = execFileSync('bash', [], { input: script }).toString().split('\0').slice(0, -1)
  expect(read).toEqual(values)
})
