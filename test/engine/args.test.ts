import fc from 'fast-check'
import { expect, test } from 'vitest'
import { equivalent, parseArgs, toDegrees } from '../../src/engine/args.ts'

const same: [string, string][] = [
  ['--tensor-parallel-size 4', '-tp 4'],
  ['--tensor_parallel_size=4', '--tensor-parallel-size 4'],
  ['-tp=2 -pp 2', '--pipeline-parallel-size 2 --tensor-parallel-size 2'],
  ['-q fp8', '--quantization=fp8'],
  ['--max-model-len 8192', '--max-model-len 8K'],
  ['--max-model-len 8000', '--max-model-len 8k'],
  ['--gpu-memory-utilization 0.90', '--gpu_memory_utilization=.9'.replace('=.9', '=0.9')],
  ['--enforce-eager', '--enforce_eager --no-enforce-eager --enforce-eager'],
  ['', '--no-enforce-eager'],
  ['', '--tensor-parallel-size 1 --load-format auto'],
  ['', '--dtype auto'],
  ['--dtype auto', '--dtype bfloat16'],
  ['--dtype half', '--dtype float16'],
  ['--max-num-seqs 1 --max-num-seqs 8', '--max-num-seqs 8'],
  ['--compilation-config.level 0', '--compilation-config {"level":0}'],
  ['-O3', '--compilation-config.level 3'],
  ['--hf-overrides {"a":{"c":1,"b":"x"}}', '--hf-overrides.a.b x --hf_overrides.a.c 1'],
  ['--port 9 --host 0.0.0.0 --model x --served-model-name y z', ''],
  ['some/model --enforce-eager', '--enforce-eager'],
]

for (const [a, b] of same) {
  test(`"${a}" is "${b}"`, () => {
    expect(equivalent(a.split(' ').filter(Boolean), b.split(' ').filter(Boolean), 'bfloat16')).toBe(true)
  })
}

const different: [string, string][] = [
  ['-tp 2', '-tp 4'],
  ['', '--enforce-eager'],
  ['--dtype float16', ''],
  ['--max-model-len 8192', '--max-model-len 8000'],
  ['--hf-overrides.a 1', '--hf-overrides.a 2'],
  ['--seed -1', '--seed 1'],
]

for (const [a, b] of different) {
  test(`"${a}" is not "${b}"`, () => {
    expect(equivalent(a.split(' ').filter(Boolean), b.split(' ').filter(Boolean), 'bfloat16')).toBe(false)
  })
}

test('spelling and order never matter', () => {
  const flag = fc.constantFrom('max-num-seqs', 'max-model-len', 'seed', 'block-size', 'quantization')
  const list = fc.uniqueArray(fc.tuple(flag, fc.nat(9999)), { selector: ([name]) => name })
  fc.assert(
    fc.property(list, fc.boolean(), (pairs, equals) => {
      const plain = pairs.flatMap(([name, value]) => [`--${name}`, String(value)])
      const other = pairs.toReversed().flatMap(([name, value]) => {
        const spelled = `--${name.replaceAll('-', '_')}`
        return equals ? [`${spelled}=${value}`] : [spelled, String(value)]
      })
      expect(equivalent(plain, other, 'auto')).toBe(true)
    }),
  )
})

test('garbage is read, not thrown at anybody', () => {
  fc.assert(fc.property(fc.array(fc.string()), (words) => parseArgs(words) instanceof Map))
  expect(parseArgs(['--x.__proto__.polluted', '1']).get('x')).toBe('{"__proto__":{"polluted":1}}')
  expect(({} as Record<string, unknown>)['polluted']).toBeUndefined()
})

test('the degrees of parallelism are found in any spelling', () => {
  expect(toDegrees(['-tp', '4', '--pipeline_parallel_size=2'])).toEqual({ tp: 4, pp: 2, dp: 1 })
  expect(toDegrees(['--tensor-parallel-size', 'many'])).toEqual({ tp: 1, pp: 1, dp: 1 })
})
