// The variables that are set, after precedence: what judging starts from.
import type { Origin } from './finding.ts'

export type Setting = { value: string; origin: Origin }

/** By name. Never holds an empty value: empty is not set. */
export type Given = ReadonlyMap<string, Setting>
