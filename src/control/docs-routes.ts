// openapi.json and its two pages; loaded and made when first asked for, since few ever ask.
import { type Answer, type Route, toJson, toPage } from './router.ts'

export function createDocsRoutes(): Route[] {
  const made: { api?: Promise<Answer>; pages: Map<string, Promise<Answer>> } = { pages: new Map() }
  const api = async () => (await import('./openapi.ts')).createOpenApi()
  const page = async (name: 'Swagger UI' | 'ReDoc') => {
    const { renderDocs } = await import('./docs-page.ts')
    return toPage(renderDocs(await api(), name))
  }
  const once = (name: 'Swagger UI' | 'ReDoc') => {
    const found = made.pages.get(name) ?? page(name)
    made.pages.set(name, found)
    return found
  }
  const methods = ['GET', 'HEAD']
  return [
    { methods, path: '/openapi.json', answer: () => (made.api ??= api().then((found) => toJson(200, found))) },
    { methods, path: '/docs', answer: () => once('Swagger UI') },
    { methods, path: '/redoc', answer: () => once('ReDoc') },
  ]
}
