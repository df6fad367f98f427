// The home page of the control listener (contracts/control-plane.md A1.1): the launches that have not ended, newest first. Pure.
import type { LaunchResponse } from '../api/launches.ts'

const style = `:root{color-scheme:light dark}
body{font-family:-apple-system,BlinkMacSystemFont,"Segoe UI",sans-serif;margin:2rem;max-width:1100px}
h1{margin-bottom:.25rem}p{margin-top:0}
table{width:100%;border-collapse:collapse;margin-top:1rem}
th,td{border-bottom:1px solid #666;text-align:left;padding:.55rem .4rem;vertical-align:top;font-size:.95rem}
code{font-size:.9rem}.muted{opacity:.8}
.pill{display:inline-block;border:1px solid #666;border-radius:999px;padding:.15rem .6rem;font-size:.85rem}
.empty{border:1px dashed #666;padding:.9rem;border-radius:.5rem;margin-top:1rem}
.links{margin-top:.5rem}.links a{margin-right:1rem}`

/** @param launches oldest first */
export function renderHome(launches: readonly LaunchResponse[], now: Date): string {
  return `<!DOCTYPE html>
<html lang="en">
  <head>
    <meta charset="UTF-8" />
    <meta name="viewport" content="width=device-width, initial-scale=1.0" />
    <title>vllm-bootstrap Home Health</title>
    <style>${style}</style>
  </head>
  <body>
    <h1>vllm-bootstrap Home Health</h1>
    <p class="muted">
      Generated at ${toTime(now.toISOString())}
    </p>

    <div>
      <span class="pill">Active Launches: ${launches.length}</span>
    </div>
    <div class="links">
      <a href="/docs">API docs</a>
    </div>

    ${launches.length === 0 ? '<div class="empty">No running vLLM launches.</div>' : renderTable(launches)}
  </body>
</html>
`
}

function renderTable(launches: readonly LaunchResponse[]): string {
  const head = ['Launch ID', 'Model', 'GPUs', 'Task', 'State', 'Updated'].map((one) => `<th>${one}</th>`).join('')
  return `<table>
      <thead>
        <tr>${head}</tr>
      </thead>
      <tbody>
        ${launches.toReversed().map(renderRow).join('\n        ')}
      </tbody>
    </table>`
}

function renderRow({ launch_id, model, gpu_ids, task, state, updated_at }: LaunchResponse): string {
  const code = (text: string) => `<td><code>${escapeHtml(text)}</code></td>`
  return `<tr>${code(launch_id)}${code(model)}<td>${gpu_ids.join(', ')}</td>${code(task)}<td>${state}</td><td>${toTime(updated_at)}</td></tr>`
}

/** `2026-11-20T22:12:46.781225Z` → `2026-11-20 22:12:46 UTC` */
const toTime = (rfc3339: string) => `${escapeHtml(rfc3339.slice(0, 19).replace('T', ' '))} UTC`

export function escapeHtml(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&#34;')
    .replaceAll("'", '&#39;')
}
