'use strict'
// A flow is a list of steps, run one after the other. Each says what it saw or throws; the flow goes on after a step that
// failed, and ends with exit code 1. STEP, a regular expression, picks some.
const assert = require('node:assert/strict')

const pick = new RegExp(process.env.STEP || '')
const limit = 120 * 1000 // of one step, in milliseconds: the VM may be emulated

async function run(steps, cleanUp) {
  let failed = 0
  for (const [name, step] of steps) {
    if (!pick.test(name)) continue
    const began = Date.now()
    let timer
    try {
      await Promise.race([step(), new Promise((_, no) => { timer = setTimeout(() => no(new Error(`took longer than ${limit} ms`)), limit) })])
      console.log(`ok    ${name} (${Date.now() - began} ms)`)
    } catch (err) {
      failed++
      console.log(`FAIL  ${name}: ${err.stack || err}`)
      await cleanUp().catch((err) => console.log(`      clean up: ${err}`)) // the next step is not to find what this one left
    } finally {
      clearTimeout(timer)
    }
  }
  try {
    await cleanUp()
  } catch (err) {
    failed++
    console.log(`FAIL  clean up: ${err.stack || err}`)
  }
  console.log(failed ? `${failed} steps failed` : 'all steps passed')
  process.exit(failed ? 1 : 0)
}

// textOf reads a stream to its end.
async function textOf(stream) {
  const parts = []
  for await (const part of stream) parts.push(part)
  return Buffer.concat(parts).toString()
}

// until asks again every 50 ms until ask gives something.
async function until(what, ask) {
  const end = Date.now() + limit / 2
  for (;;) {
    const got = await ask()
    if (got) return got
    if (Date.now() > end) throw new Error(`${what}: it did not happen`)
    await new Promise((ok) => setTimeout(ok, 50))
  }
}

// refused expects an API error with a status.
async function refused(status, message, promise) {
  const err = await promise.then(() => null, (err) => err)
  assert.ok(err, `no error, want ${status}`)
  assert.equal(err.statusCode, status, String(err))
  assert.match(err.json?.message || err.message, message)
}

module.exports = { run, textOf, until, refused, assert }
