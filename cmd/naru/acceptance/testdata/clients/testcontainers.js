'use strict'
// What Testcontainers' guides do, each step checked, without Ryuk: TESTCONTAINERS_RYUK_DISABLED is its documented switch.
const fs = require('node:fs')
const os = require('node:os')
const net = require('node:net')
const path = require('node:path')
const { once } = require('node:events')
const { GenericContainer, Network, Wait, getContainerRuntimeClient, StartedNetwork } = require('testcontainers')
const tar = require('tar-stream')
const { run, textOf, until, refused, assert } = require('./flow.js')

const { IMG, SHARED } = process.env
const mark = `tc-${process.pid}`
const minutes = 2 * 60 * 1000

// server answers each request on port 8000 with the file /tmp/page, or "hello" where there is none, after it has said ready.
const server = `
import socket
s = socket.create_server(("", 8000))
print("ready to serve", flush=True)
while True:
    c, _ = s.accept()
    try:
        d = b""
        while b"\\r\\n\\r\\n" not in d and (part := c.recv(4096)): d += part
        if d:
            try: text = open("/tmp/page", "rb").read()
            except OSError: text = b"hello"
            c.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\nConnection: close\\r\\n\\r\\n%s" % (len(text), text))
    except OSError: pass
    c.close()`

const made = []
const generic = () => new GenericContainer(IMG).withLabels({ mark }).withStartupTimeout(minutes)
const web = () => generic().withCommand(['python3', '-c', server]).withExposedPorts(8000)

async function start(c) {
  const started = await c.start()
  made.push(started)
  return started
}

async function get(c) {
  const resp = await fetch(`http://${c.getHost()}:${c.getMappedPort(8000)}/`)
  assert.equal(resp.status, 200)
  return resp.text()
}

const steps = [
  ['what the engine is', async () => {
    const client = await getContainerRuntimeClient()
    assert.equal(client.info.containerRuntime.host, '127.0.0.1')
    assert.equal(client.info.containerRuntime.remoteSocketPath, process.env.DOCKER_HOST.replace('unix://', ''))
  }],
  ['a port', async () => {
    const c = await start(web().withWaitStrategy(Wait.forListeningPorts()))
    assert.equal(await get(c), 'hello')
    assert.equal(c.getFirstMappedPort(), c.getMappedPort(8000))
    await c.stop()
  }],
  ['a line of the log', async () => {
    const c = await start(web().withWaitStrategy(Wait.forLogMessage(/ready to \w+/, 1)))
    assert.equal(await get(c), 'hello')
    assert.match(await until('the log', async () => {
      const stream = await c.logs()
      const [line] = await once(stream, 'data')
      stream.destroy()
      return String(line)
    }), /ready to serve/)
    await c.stop()
  }],
  ['an HTTP answer', async () => {
    const c = await start(web().withWaitStrategy(Wait.forHttp('/', 8000).forStatusCode(200)))
    await c.stop()
  }],
  ['a health check', async () => {
    const c = await start(web().withHealthCheck({ test: ['CMD-SHELL', 'bash -c "</dev/tcp/127.0.0.1/8000"'], interval: 200, timeout: 20000, retries: 100, startPeriod: 0 })
      .withWaitStrategy(Wait.forHealthCheck()))
    assert.equal(await get(c), 'hello')
    await c.stop()
  }],
  ['a command that succeeds, all of several', async () => {
    const c = await start(web().withWaitStrategy(Wait.forAll([
      Wait.forSuccessfulCommand('bash -c "</dev/tcp/127.0.0.1/8000"'), Wait.forLogMessage('ready'), Wait.forListeningPorts()])))
    await c.stop()
  }],
  ['one shot', async () => {
    const c = await start(generic().withCommand(['bash', '-c', 'echo done']).withWaitStrategy(Wait.forOneShotStartup()))
    await c.stop()
    await assert.rejects(generic().withCommand(['bash', '-c', 'exit 3']).withWaitStrategy(Wait.forOneShotStartup()).start(), /Container failed to start/)
  }],
  ['it never gets ready', async () => {
    const c = generic().withCommand(['sleep', '1000']).withStartupTimeout(1500).withWaitStrategy(Wait.forLogMessage('never said'))
    await assert.rejects(c.start(), /not received after 1500ms/)
  }],
  ['exec', async () => {
    const c = await start(generic().withCommand(['sleep', '1000']))
    const r = await c.exec(['bash', '-c', 'echo out; echo err >&2; exit 7'])
    assert.deepEqual([r.exitCode, r.stdout, r.stderr], [7, 'out\n', 'err\n'])
    const e = await c.exec(['bash', '-c', 'echo $A; pwd; id -un'], { workingDir: '/tmp', user: 'nobody', env: { A: 'b' } })
    assert.equal(e.stdout, 'b\n/tmp\nnobody\n')
    await c.stop()
  }],
  ['settings', async () => {
    const c = await start(generic().withName(`${mark}-named`).withEnvironment({ A: 'b' }).withUser('1000:1000').withWorkingDir('/tmp')
      .withEntrypoint(['bash']).withCommand(['-c', 'echo $A $PWD; id -u; hostname; ulimit -n; sleep 1000']).withHostname('box')
      .withTmpFs({ '/scratch': 'rw,noexec,size=65536k' }).withUlimits({ nofile: { hard: 2000, soft: 1000 } }).withSharedMemorySize(32 << 20)
      .withAddedCapabilities('NET_ADMIN').withDroppedCapabilities('MKNOD').withResourcesQuota({ memory: 0.25, cpu: 1 })
      .withExtraHosts([{ host: 'other', ipAddress: '10.1.2.3' }]).withIpcMode('private').withLogConsumer(() => {})
      .withWaitStrategy(Wait.forLogMessage('1000', 2)))
    assert.equal(c.getName(), `/${mark}-named`)
    const { output } = await c.exec(['bash', '-c', 'grep other /etc/hosts; df /scratch | tail -n 1; df -k /dev/shm | tail -n 1'])
    assert.match(output, /10\.1\.2\.3\s+other[^]*tmpfs\s+65536[^]*32768/)
    await c.stop()
  }],
  ['networks and aliases', async () => {
    const network = await new Network().start()
    made.push(network)
    assert.ok(network instanceof StartedNetwork)
    const a = await start(web().withNetwork(network).withNetworkAliases('web', 'www').withWaitStrategy(Wait.forListeningPorts()))
    const b = await start(generic().withCommand(['sleep', '1000']).withNetwork(network))
    for (const name of ['web', 'www']) {
      const r = await b.exec(['bash', '-c', `exec 3<>/dev/tcp/${name}/8000; printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3; tail -n 1 <&3`])
      assert.equal(r.output, 'hello', name)
    }
    assert.equal(await get(a), 'hello')
    assert.equal((await b.exec(['getent', 'hosts', 'web'])).output.split(/\s/)[0], a.getIpAddress(network.getName()))
    await a.stop()
    await b.stop()
    await network.stop()
  }],
  ['copy files in and out', async () => {
    const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'tc'))
    fs.writeFileSync(path.join(dir, 'one'), 'from a file')
    fs.mkdirSync(path.join(dir, 'd'))
    fs.writeFileSync(path.join(dir, 'd', 'two'), 'from a folder')
    try {
      const c = await start(web().withWaitStrategy(Wait.forListeningPorts())
        .withCopyFilesToContainer([{ source: path.join(dir, 'one'), target: '/tmp/page', mode: 0o600 }])
        .withCopyDirectoriesToContainer([{ source: path.join(dir, 'd'), target: '/tmp/d' }])
        .withCopyContentToContainer([{ content: 'from a string', target: '/tmp/three' }]))
      assert.equal(await get(c), 'from a file')
      await c.copyContentToContainer([{ content: 'later', target: '/tmp/page' }])
      assert.equal(await get(c), 'later')
      assert.equal((await c.exec(['cat', '/tmp/d/two', '/tmp/three'])).output, 'from a folderfrom a string')
      const x = tar.extract()
      let got
      x.on('entry', (h, body, next) => textOf(body).then((text) => { got = [h.name, text]; next() }))
      ;(await c.copyArchiveFromContainer('/tmp/page')).pipe(x)
      await once(x, 'finish')
      assert.deepEqual(got, ['page', 'later'])
      await c.stop()
    } finally {
      fs.rmSync(dir, { recursive: true })
    }
  }],
  ['bind mount', async () => {
    const dir = fs.mkdtempSync(path.join(SHARED, 'tc'))
    fs.writeFileSync(path.join(dir, 'page'), 'bound')
    try {
      const c = await start(generic().withCommand(['sleep', '1000']).withBindMounts([{ source: dir, target: '/b', mode: 'rw' }]))
      assert.equal((await c.exec(['bash', '-c', 'cat /b/page; echo -n back >/b/back'])).output, 'bound')
      assert.equal(fs.readFileSync(path.join(dir, 'back'), 'utf8'), 'back')
      await c.stop()
    } finally {
      fs.rmSync(dir, { recursive: true })
    }
  }],
  ['a volume', async () => {
    const volumes = [{ source: `${mark}-v`, target: '/v' }]
    const a = await start(generic().withCommand(['bash', '-c', 'echo kept >/v/f; sleep 1000']).withBindMounts(volumes)
      .withWaitStrategy(Wait.forSuccessfulCommand('test -s /v/f')))
    await a.stop()
    const b = await start(generic().withCommand(['sleep', '1000']).withBindMounts(volumes))
    assert.equal((await b.exec(['cat', '/v/f'])).output, 'kept\n')
    await b.stop()
    const client = await getContainerRuntimeClient()
    await client.container.dockerode.getVolume(`${mark}-v`).remove()
  }],
  ['reuse, restart, stop', async () => {
    const first = await start(web().withReuse().withWaitStrategy(Wait.forListeningPorts()))
    const second = await start(web().withReuse().withWaitStrategy(Wait.forListeningPorts()))
    assert.equal(second.getId(), first.getId())
    await second.exec(['bash', '-c', 'echo -n mine >/tmp/page'])
    await second.restart()
    await until('the answer', () => get(second).then((text) => text === 'mine', () => false))
    await second.stop({ remove: true })
    const client = await getContainerRuntimeClient()
    await refused(404, /No such container/, client.container.dockerode.getContainer(first.getId()).inspect())
  }],
  ['ports that are given', async () => {
    const probe = net.createServer().listen(0, '127.0.0.1')
    await once(probe, 'listening')
    const { port } = probe.address()
    probe.close()
    await once(probe, 'close')
    const c = await start(web().withExposedPorts({ container: 8000, host: port }).withWaitStrategy(Wait.forListeningPorts()))
    assert.equal(c.getMappedPort(8000), port)
    assert.equal(await get(c), 'hello')
    await c.stop()
  }],
]

run(steps, async () => {
  const { dockerode } = (await getContainerRuntimeClient()).container
  const mine = { label: [`mark=${mark}`] }
  for (const c of await dockerode.listContainers({ all: true, filters: mine })) await dockerode.getContainer(c.Id).remove({ force: true, v: true })
  for (const m of made.splice(0)) if (m instanceof StartedNetwork) await m.stop().catch(() => {})
})
