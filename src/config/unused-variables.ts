// Names of the old scripts and images that we accept and do not use, each with the reason. Where an operator would miss the
// effect, it is a warning.

export type UnusedVariable = {
  /** After `is not used: `. */
  why: string
  /** Which values are worth a warning; none where absent. */
  warns?: (value: string) => boolean
  secret?: boolean
}

const always = () => true
const isOff = (value: string) => /^(0|false|no|off)$/i.test(value.trim())
const isOn = (value: string) => !isOff(value)

export const unusedVariables: Readonly<Record<string, UnusedVariable>> = {
  VLLM_PORT: {
    why: 'engines take INFERENCE_PORT + 1 upwards on loopback, and vLLM would take it for its internal ports; remove it',
    warns: always,
  },
  VLLM_API_KEY: {
    why: 'engines listen on loopback without a key; set VLLM_ACCESS_KEY for the control listener',
    warns: always,
    secret: true,
  },
  SKIP_DOCKER: { why: 'native is the only mode; remove it, or write true', warns: isOff },
  UVICORN_CMD: { why: 'there is no uvicorn; remove it', warns: always },
  UBUNTU_TEST: { why: 'there are no fake servers; use `gonka-node rehearse`', warns: isOn },
  PUBLIC_KEY: { why: 'the daemon starts no sshd; let the image or user-data do it', warns: always },
  ENABLE_SSHD: { why: 'the daemon starts no sshd; let the image or user-data do it', warns: isOn },
  SSH_PORT: { why: 'the daemon starts no sshd' },
  APP_USER: { why: 'the unit says as whom the daemon runs' },
  SSH_PUBLIC_KEY_VALUE: { why: 'user-data reads it' },
  HOST_UID: { why: 'the unit says as whom the daemon runs' },
  HOST_GID: { why: 'the unit says as whom the daemon runs' },
  API_NODE_PORT: { why: 'it was derived from API_NODE' },
  FRP_SERVER_HOST: { why: 'it was derived from FRP_SERVER' },
  FRP_SERVER_PORT: { why: 'it was derived from FRP_SERVER' },
  FRP_SERVERS_PORT: { why: 'it was a misspelling in an old script' },
  FRP_VERSION: { why: 'the image brings frpc' },
  FRP_DASHBOARD_PASSWORD: { why: 'it belongs to the frp server', secret: true },
  VLLM_BOOTSTRAP_LOG_DIR: { why: 'logs are in LOG_DIR' },
  MLNODE_RELEASE_VERSION: { why: 'the daemon reports its own version' },
}
