// `gonka-node run`: the daemon's process. Configuration, lock, parts, and the one race of everything that ends it.
import { whenOutputFails } from './output.ts'
import { exits, type Verb } from './verb.ts'

export const run: Verb = {
  usage: '',
  summary: 'runs the daemon in the foreground (what gonka-node.service starts)',
  help: `Reads /etc/gonka-container.env (or GONKA_ENV_FILE), its folder .d and the environment.
SIGTERM, SIGINT: stops everything, or leaves engines and tunnels where systemd restarts us. SIGHUP: reads the configuration again.
Exit status 0 ended as asked, 70 a bug, 75 another daemon has the state folder (under systemd: still, after a
minute of waiting for its end), 78 wrong configuration and never a good one.`,
  options: {},
  positionals: 0,
  async run({ out }) {
    // Its log is lost then; engines and tunnels must not be.
    whenOutputFails(() => {})
    const { runDaemon } = await import('../daemon.ts')
    const status = await runDaemon((line) => out.complain(line)).catch((error: unknown) => {
      out.complain(`gonka-node run: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`)
      return exits.software
    })
    // Whatever a part left open must not keep a daemon alive that is finished, or whose boot broke half way.
    process.exit(status)
  },
}
