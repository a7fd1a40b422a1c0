'use strict'
// What dockerode's README and examples do, each step checked. IMG is an image of the registry REG on loopback with bash and
// python3; DOCKER_HOST is the engine's socket.
const { PassThrough } = require('node:stream')
const { once } = require('node:events')
const Docker = require('dockerode')
const tar = require('tar-stream')
const { run, textOf, until, refused, assert } = require('./flow.js')

const docker = new Docker()
const { IMG, REG } = process.env
const mark = `dockerode-${process.pid}`
const Labels = { mark }
const mine = { label: [`mark=${mark}`] }

const create = (opts) => docker.createContainer({ Image: IMG, Labels, ...opts })

async function up(opts = {}) {
  const c = await create({ Cmd: ['sleep', '1000'], ...opts })
  await c.start()
  return c
}

const gone = (c) => c.remove({ force: true, v: true })

// follow waits for the end of a stream of progress messages.
const follow = (stream) => new Promise((ok, no) => {
  const seen = []
  docker.modem.followProgress(stream, (err) => (err ? no(err) : ok(seen)), (m) => seen.push(m))
})

// split separates what a stream without a terminal carries, until it ends.
async function split(stream) {
  const out = new PassThrough()
  const err = new PassThrough()
  docker.modem.demuxStream(stream, out, err)
  stream.on('end', () => { out.end(); err.end() })
  const [stdout, stderr] = await Promise.all([textOf(out), textOf(err)])
  return { stdout, stderr }
}

async function exec(c, opts, input) {
  const e = await c.exec({ AttachStdout: true, AttachStderr: true, ...opts })
  const stream = await e.start({ hijack: true, stdin: Boolean(opts.AttachStdin) })
  if (input !== undefined) stream.end(input)
  const got = opts.Tty ? { stdout: await textOf(stream) } : await split(stream)
  const { ExitCode, Running } = await e.inspect()
  assert.equal(Running, false)
  return { ...got, code: ExitCode }
}

// pack makes an archive of files by name.
function pack(files) {
  const p = tar.pack()
  for (const [name, text] of Object.entries(files)) p.entry({ name, mode: 0o640 }, text)
  p.finalize()
  return p
}

async function unpack(stream) {
  const files = {}
  const x = tar.extract()
  x.on('entry', (header, body, next) => {
    textOf(body).then((text) => { files[header.name] = text; next() }, next)
  })
  stream.pipe(x)
  await once(x, 'finish')
  return files
}

const steps = [
  ['ping, version, info', async () => {
    assert.equal((await docker.ping()).toString(), 'OK')
    const v = await docker.version()
    assert.equal(v.Os, 'linux')
    assert.equal(v.Components[0].Name, 'Engine')
    const info = await docker.info()
    assert.ok(info.ID && info.NCPU > 0 && info.MemTotal > 0)
    assert.equal(info.Swarm.LocalNodeState, 'inactive')
  }],
  ['pull, follow the progress', async () => {
    await docker.getImage(IMG).remove({ force: true }).catch((err) => assert.equal(err.statusCode, 404))
    const seen = await follow(await docker.pull(IMG))
    assert.match(seen.at(-1).status, /^Status: Downloaded newer image for /)
    assert.ok(seen.some((m) => m.status === 'Downloading' || m.status === 'Pull complete' || m.status === 'Already exists'))
    const image = await docker.getImage(IMG).inspect()
    assert.equal(image.Os, 'linux')
    assert.ok((await docker.listImages({ filters: { reference: [IMG] } })).some((i) => i.Id === image.Id))
    await assert.rejects(async () => follow(await docker.pull(`${REG}/nosuch:1`)), /not found|unknown/)
  }],
  ['create, start, attach, wait, remove', async () => {
    const c = await create({ Cmd: ['bash', '-c', 'echo out; echo err >&2; exit 3'] })
    const stream = await c.attach({ stream: true, stdout: true, stderr: true })
    const text = split(stream)
    await c.start()
    assert.deepEqual(await text, { stdout: 'out\n', stderr: 'err\n' })
    assert.equal((await c.wait()).StatusCode, 3)
    const { State } = await c.inspect()
    assert.deepEqual([State.Status, State.ExitCode, State.Running], ['exited', 3, false])
    await c.remove()
    await refused(404, /No such container/, c.inspect())
  }],
  ['attach with stdin', async () => {
    const c = await create({ Cmd: ['cat'], OpenStdin: true, StdinOnce: true, AttachStdin: true })
    const stream = await c.attach({ stream: true, hijack: true, stdin: true, stdout: true, stderr: true })
    const text = split(stream)
    await c.start()
    stream.end('from stdin\n')
    assert.equal((await text).stdout, 'from stdin\n')
    assert.equal((await c.wait()).StatusCode, 0)
    await c.remove()
  }],
  ['attach with a terminal, resize', async () => {
    const c = await create({ Cmd: ['bash', '-c', 'read; stty size'], Tty: true, OpenStdin: true, AttachStdin: true })
    const stream = await c.attach({ stream: true, hijack: true, stdin: true, stdout: true, stderr: true })
    const text = textOf(stream)
    await c.start()
    await c.resize({ h: 33, w: 77 })
    stream.write('go\n')
    assert.match(await text, /33 77/)
    await c.remove({ force: true })
  }],
  ['run', async () => {
    const out = new PassThrough()
    const text = textOf(out)
    const [data, c] = await docker.run(IMG, ['bash', '-c', 'echo from run; exit 4'], out, { Labels, Tty: true })
    assert.equal(data.StatusCode, 4)
    assert.match(await text, /from run/)
    await c.remove()
  }],
  ['run, two streams, removed at its end', async () => {
    const [out, err] = [new PassThrough(), new PassThrough()]
    const texts = [textOf(out), textOf(err)]
    const [data] = await docker.run(IMG, ['bash', '-c', 'echo one; echo two >&2'], [out, err], { Labels, Tty: false, HostConfig: { AutoRemove: true } })
    assert.equal(data.StatusCode, 0)
    assert.deepEqual(await Promise.all(texts), ['one\n', 'two\n'])
  }],
  ['exec', async () => {
    const c = await up()
    assert.deepEqual(await exec(c, { Cmd: ['bash', '-c', 'echo o; echo e >&2; exit 5'] }), { stdout: 'o\n', stderr: 'e\n', code: 5 })
    const env = await exec(c, { Cmd: ['bash', '-c', 'echo $A; pwd; id -un'], Env: ['A=b'], WorkingDir: '/tmp', User: 'nobody' })
    assert.equal(env.stdout, 'b\n/tmp\nnobody\n')
    assert.equal((await exec(c, { Cmd: ['cat'], AttachStdin: true }, 'in\n')).stdout, 'in\n')
    assert.match((await exec(c, { Cmd: ['tty'], Tty: true })).stdout, /\/dev\/pts\//)
    const missing = await c.exec({ Cmd: ['nosuch'] })
    await refused(400, /executable file not found/, missing.start({ Detach: true }))
    await gone(c)
    await refused(404, /No such container/, c.exec({ Cmd: ['true'] }))
  }],
  ['logs', async () => {
    const c = await create({ Cmd: ['bash', '-c', 'for i in 1 2 3; do echo line $i; done; echo bad >&2; sleep 1; echo late'] })
    await c.start()
    const followed = split(await c.logs({ follow: true, stdout: true, stderr: true }))
    assert.deepEqual(await followed, { stdout: 'line 1\nline 2\nline 3\nlate\n', stderr: 'bad\n' })
    const all = await c.logs({ stdout: true, stderr: false })
    assert.match(all.toString(), /line 3/)
    assert.doesNotMatch(all.toString(), /bad/)
    assert.match((await c.logs({ stdout: true, stderr: true, tail: 1, timestamps: true })).toString(), /^.{8}\d{4}-\d\d-\d\dT[\d:.]+Z late\n$/s)
    await c.remove()
  }],
  ['stats', async () => {
    const c = await up()
    const once_ = await c.stats({ stream: false })
    assert.ok(once_.memory_stats.usage > 0, 'memory')
    assert.ok(once_.cpu_stats.cpu_usage.total_usage > 0, 'cpu')
    assert.ok(once_.pids_stats.current >= 1, 'pids')
    const stream = await c.stats({ stream: true })
    let text = ''
    for await (const part of stream) {
      text += part
      if (text.split('\n').length > 2) break
    }
    assert.equal(JSON.parse(text.split('\n')[1]).id, c.id)
    await gone(c)
  }],
  ['top', async () => {
    const c = await up()
    const { Titles, Processes } = await c.top({ ps_args: 'aux' })
    assert.ok(Titles.includes('COMMAND') && Processes.some((p) => p.at(-1).includes('sleep 1000')))
    assert.ok((await c.top()).Titles.includes('CMD'))
    await gone(c)
  }],
  ['events', async () => {
    const live = await docker.getEvents({ filters: { ...mine, event: ['start'] } })
    const first = once(live, 'data')
    const since = Math.floor(Date.now() / 1000) - 1
    const c = await up()
    const [data] = await first
    const event = JSON.parse(data)
    assert.deepEqual([event.Type, event.Action, event.Actor.ID], ['container', 'start', c.id])
    live.destroy()
    await gone(c)
    const past = await textOf(await docker.getEvents({ since, until: Math.floor(Date.now() / 1000) + 1, filters: { container: [c.id] } }))
    const actions = past.trim().split('\n').map((l) => JSON.parse(l).Action)
    for (const action of ['create', 'start', 'kill', 'die', 'destroy']) assert.ok(actions.includes(action), `${action} in ${actions}`)
  }],
  ['copy in and out', async () => {
    const c = await create({ Cmd: ['cat', '/tmp/a'] })
    await c.putArchive(pack({ a: 'first\n', 'b/c': 'second\n' }), { path: '/tmp' })
    const stat = JSON.parse(Buffer.from((await c.infoArchive({ path: '/tmp/a' })).headers['x-docker-container-path-stat'], 'base64'))
    assert.deepEqual([stat.name, stat.size, stat.mode & 0o777], ['a', 6, 0o640])
    assert.deepEqual(await unpack(await c.getArchive({ path: '/tmp/b' })), { 'b/': '', 'b/c': 'second\n' })
    await c.start()
    await c.wait()
    assert.match((await c.logs({ stdout: true })).toString(), /first/)
    await refused(404, /Could not find the file \/nosuch in container/, c.getArchive({ path: '/nosuch' }))
    await c.remove()
  }],
  ['changes, export', async () => {
    const c = await up()
    await exec(c, { Cmd: ['bash', '-c', 'echo x >/new; rm /etc/motd'] })
    const changes = await c.changes()
    assert.ok(changes.some((x) => x.Path === '/new' && x.Kind === 1) && changes.some((x) => x.Path === '/etc/motd' && x.Kind === 2))
    const files = await unpack(await c.export())
    assert.equal(files.new, 'x\n')
    assert.equal(files['etc/motd'], undefined)
    await gone(c)
  }],
  ['commit', async () => {
    const c = await up()
    await exec(c, { Cmd: ['bash', '-c', 'echo kept >/kept'] })
    const { Id } = await c.commit({ repo: mark, tag: 'c', comment: 'a comment', changes: 'CMD ["cat", "/kept"]' })
    await gone(c)
    const image = docker.getImage(`${mark}:c`)
    assert.equal((await image.inspect()).Id, Id)
    const out = new PassThrough()
    const text = textOf(out)
    const [data] = await docker.run(`${mark}:c`, [], out, { Labels, Tty: true, HostConfig: { AutoRemove: true } })
    assert.equal(data.StatusCode, 0)
    assert.equal(await text, 'kept\r\n')
    assert.equal((await image.history())[0].Comment, 'a comment')
    await image.remove()
  }],
  ['pause, update, rename, restart, kill, stop', async () => {
    const c = await up()
    await c.pause()
    assert.equal((await c.inspect()).State.Status, 'paused')
    await refused(409, /already paused/, c.pause())
    await c.unpause()
    await c.update({ Memory: 128 << 20, MemorySwap: -1 })
    assert.equal((await c.inspect()).HostConfig.Memory, 128 << 20)
    await c.rename({ name: `${mark}-renamed` })
    assert.equal((await docker.getContainer(`${mark}-renamed`).inspect()).Id, c.id)
    await c.restart({ t: 0 })
    assert.equal((await c.inspect()).State.Running, true)
    await c.kill({ signal: 'SIGKILL' })
    await c.wait()
    await refused(409, /is not running/, c.kill())
    await c.start()
    await refused(304, /./, c.start())
    await c.stop({ t: 0 })
    await refused(304, /./, c.stop())
    await c.remove()
  }],
  ['list', async () => {
    const a = await up({ name: `${mark}-list`, ExposedPorts: { '80/tcp': {} }, HostConfig: { PortBindings: { '80/tcp': [{ HostIp: '127.0.0.1' }] } } })
    const b = await create({})
    const running = await docker.listContainers({ filters: mine })
    assert.deepEqual(running.map((c) => c.Id), [a.id])
    assert.deepEqual(running[0].Names, [`/${mark}-list`])
    assert.deepEqual([running[0].Ports[0].PrivatePort, running[0].Ports[0].IP], [80, '127.0.0.1'])
    assert.ok(running[0].Ports[0].PublicPort > 0)
    assert.equal((await docker.listContainers({ all: true, filters: mine })).length, 2)
    await gone(a)
    await gone(b)
  }],
  ['health check', async () => {
    const c = await up({ Healthcheck: { Test: ['CMD-SHELL', 'test -e /tmp/well'], Interval: 100e6, Timeout: 20e9, Retries: 1000 } })
    assert.equal((await c.inspect()).State.Health.Status, 'starting')
    await exec(c, { Cmd: ['touch', '/tmp/well'] })
    await until('healthy', async () => (await c.inspect()).State.Health.Status === 'healthy')
    assert.equal((await c.inspect()).State.Health.Log.at(-1).ExitCode, 0)
    await gone(c)
  }],
  ['volumes', async () => {
    const v = await docker.createVolume({ Name: `${mark}-v`, Labels })
    assert.equal((await docker.getVolume(`${mark}-v`).inspect()).Driver, 'local')
    const writer = await up({ Cmd: ['bash', '-c', 'echo kept >/v/f'], HostConfig: { Binds: [`${mark}-v:/v`] } })
    await writer.wait()
    await refused(409, /volume is in use/, docker.getVolume(`${mark}-v`).remove())
    await writer.remove()
    const reader = await up({ Cmd: ['cat', '/v/f'], HostConfig: { Mounts: [{ Type: 'volume', Source: `${mark}-v`, Target: '/v', ReadOnly: true }] } })
    await reader.wait()
    assert.match((await reader.logs({ stdout: true })).toString(), /kept/)
    await reader.remove()
    assert.deepEqual((await docker.listVolumes({ filters: mine })).Volumes.map((x) => x.Name), [`${mark}-v`])
    const pruned = await docker.pruneVolumes({ filters: { ...mine, all: ['true'] } })
    assert.deepEqual(pruned.VolumesDeleted, [`${mark}-v`])
    assert.ok(v)
  }],
  ['networks', async () => {
    const n = await docker.createNetwork({ Name: `${mark}-n`, Labels, CheckDuplicate: true })
    const a = await up({ name: `${mark}-a`, HostConfig: { NetworkMode: `${mark}-n` }, NetworkingConfig: { EndpointsConfig: { [`${mark}-n`]: { Aliases: ['web'] } } } })
    const b = await up()
    await n.connect({ Container: b.id, EndpointConfig: { Aliases: ['db'] } })
    const seen = await n.inspect()
    assert.deepEqual(Object.keys(seen.Containers).sort(), [a.id, b.id].sort())
    const { IPAddress } = (await a.inspect()).NetworkSettings.Networks[`${mark}-n`]
    for (const name of ['web', `${mark}-a`]) {
      assert.match((await exec(b, { Cmd: ['getent', 'hosts', name] })).stdout, new RegExp(`^${IPAddress}\\s`), name)
    }
    assert.equal((await exec(a, { Cmd: ['getent', 'hosts', 'db'] })).code, 0)
    await n.disconnect({ Container: b.id })
    assert.notEqual((await exec(a, { Cmd: ['getent', 'hosts', 'db'] })).code, 0)
    await refused(403, /has active endpoints/, n.remove())
    await gone(a)
    await gone(b)
    assert.deepEqual((await docker.listNetworks({ filters: mine })).map((x) => x.Name), [`${mark}-n`])
    const pruned = await docker.pruneNetworks({ filters: mine })
    assert.deepEqual(pruned.NetworksDeleted, [`${mark}-n`])
    await refused(404, /not found/, n.inspect())
  }],
  ['tag, push, save, load', async () => {
    await docker.getImage(IMG).tag({ repo: `${REG}/${mark}`, tag: '1' })
    const image = docker.getImage(`${REG}/${mark}:1`)
    const seen = await follow(await image.push({ authconfig: { username: 'nobody', password: 'x', serveraddress: REG } }))
    assert.ok(seen.some((m) => /digest: sha256:/.test(m.status)))
    const archive = await image.get()
    const chunks = []
    for await (const part of archive) chunks.push(part)
    await image.remove()
    const { Readable } = require('node:stream')
    const loaded = await follow(await docker.loadImage(Readable.from(chunks)))
    assert.match(loaded.map((m) => m.stream || '').join(''), new RegExp(`Loaded image: ${REG}/${mark}:1`))
    await image.remove()
  }],
  ['errors', async () => {
    await refused(404, /No such image: nosuch:latest|No such image: nosuch/, docker.createContainer({ Image: 'nosuch' }))
    await refused(404, /No such container: nosuch/, docker.getContainer('nosuch').inspect())
    const c = await create({ name: `${mark}-twice` })
    await refused(409, /already in use by container/, create({ name: `${mark}-twice` }))
    await c.start({}).catch(() => {})
    await gone(c)
    await refused(400, /./, create({ name: 'not a name' }))
    await refused(503, /not a swarm manager/, docker.listServices())
  }],
  ['df, auth', async () => {
    const df = await docker.df()
    assert.ok(df.LayersSize > 0 && df.Images.length > 0)
    assert.equal((await docker.checkAuth({ username: 'a', password: 'b', serveraddress: REG })).Status, 'Login Succeeded')
  }],
  ['prune', async () => {
    const c = await create({})
    const keep = await up()
    const { ContainersDeleted } = await docker.pruneContainers({ filters: mine })
    assert.deepEqual(ContainersDeleted, [c.id])
    await gone(keep)
  }],
]

run(steps, async () => {
  for (const c of await docker.listContainers({ all: true, filters: mine })) await docker.getContainer(c.Id).remove({ force: true, v: true })
  for (const n of await docker.listNetworks({ filters: mine })) await docker.getNetwork(n.Id).remove()
  for (const v of (await docker.listVolumes({ filters: mine })).Volumes) await docker.getVolume(v.Name).remove()
})
