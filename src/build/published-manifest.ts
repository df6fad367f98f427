// package.json as npm users get it: compiled files, nothing that only a checkout needs. Pure.

export type Manifest = {
  bin: Record<string, string>
  exports: Record<string, string>
  engines: Record<string, string>
  [field: string]: unknown
}

/** What the client needs; the daemon needs more, npm has no field for that, and so the program looks by itself. */
const clientEngine = '>=20.3'
const program = 'dist/checked-bin.js'

export function toPublished(ours: Manifest): Manifest {
  const { scripts: _, devDependencies: __, optionalDependencies: ___, ...rest } = ours
  return {
    ...rest,
    files: ['dist', '!dist/package.json.ours', 'systemd', 'profile.d'],
    bin: mapValues(ours.bin, () => program),
    exports: mapValues(ours.exports, toCompiled),
    engines: { ...ours.engines, node: clientEngine },
  }
}

const toCompiled = (path: string) => path.replace(/^(\.\/)?src\//, '$1dist/').replace(/\.ts$/, '.js')

const mapValues = (record: Record<string, string>, change: (value: string) => string) =>
  Object.fromEntries(Object.entries(record).map(([name, value]) => [name, change(value)]))
