'use strict'
// Testcontainers with its reaper: what a process leaves behind when it ends without a word is removed. The reaper gets the
// engine's socket by the path that DOCKER_HOST names.
const { execFile } = require('node:child_process')
const { promisify } = require('node:util')
const { run, until, refused, assert } = require('./flow.js')

const left = async () => {
  const { GenericContainer, Network } = require('testcontainers')
  const network = await new Network().start()
  const c = await new GenericContainer(process.env.IMG).withCommand(['sleep', '1000']).withNetwork(network).start()
  console.log(JSON.stringify({ container: c.getId(), network: network.getId() }))
  process.kill(process.pid, 'SIGKILL') // nobody stops anything
}

const steps = [
  ['what a killed process leaves is removed', async () => {
    const err = await promisify(execFile)(process.execPath, [__filename, 'leave']).catch((err) => err)
    assert.equal(err.signal, 'SIGKILL', `${err.stderr}`)
    const { container, network } = JSON.parse(err.stdout)
    const Docker = require('dockerode')
    const docker = new Docker()
    const gone = (what) => until('the reaper', () => what.inspect().then(() => false, (err) => err.statusCode === 404))
    await gone(docker.getContainer(container))
    await gone(docker.getNetwork(network))
    await until('the reaper ends', async () => (await docker.listContainers({ filters: { label: ['org.testcontainers.ryuk=true'] } })).length === 0)
    await refused(404, /No such container/, docker.getContainer(container).start())
  }],
]

if (process.argv[2] === 'leave') left()
else run(steps, async () => {})
