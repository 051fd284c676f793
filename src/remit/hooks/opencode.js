// Written by `remit hooks install opencode`. Every tool call is decided by Remit; whatever goes
// wrong here throws, and OpenCode does not run a tool whose hook throws.
import { spawn } from "node:child_process"

const COMMANDS = __COMMANDS__
const PATIENCE = __PATIENCE__

function ask(event, question) {
  return new Promise((resolve, reject) => {
    const child = spawn("/bin/sh", ["-c", COMMANDS[event]], { stdio: ["pipe", "pipe", "pipe"] })
    const timer = setTimeout(() => {
      child.kill("SIGKILL")
      reject(new Error("Remit did not answer in time, so nothing runs."))
    }, PATIENCE)
    let said = ""
    let complained = ""
    child.stdout.on("data", (part) => (said += part))
    child.stderr.on("data", (part) => (complained += part))
    child.stdin.on("error", () => {})
    child.on("error", (fault) => reject(new Error(`Remit could not be started: ${fault.message}`)))
    child.on("close", (code) => {
      clearTimeout(timer)
      try {
        if (code !== 0) throw new Error(complained.trim() || `Remit ended with ${code}.`)
        const answer = JSON.parse(said)
        if (answer === null || typeof answer !== "object") throw new Error("Remit said nothing.")
        resolve(answer)
      } catch (fault) {
        reject(fault)
      }
    })
    child.stdin.end(JSON.stringify(question))
  })
}

export const Remit = async ({ directory }) => ({
  "tool.execute.before": async (input, output) => {
    const answer = await ask("before", { ...input, args: output.args, cwd: directory })
    if (answer.decision !== "allow") throw new Error(answer.reason || "Refused by Remit.")
    if (answer.args) Object.assign(output.args, answer.args)
  },
  "tool.execute.after": async (input, output) => {
    let answer
    try {
      answer = await ask("after", { ...input, cwd: directory, result: output.output })
    } catch (fault) {
      answer = { output: `The result is withheld: ${fault.message}` }
    }
    if (typeof answer.output === "string") {
      output.output = answer.output
      output.title = ""
      output.metadata = { truncated: false }
    }
  },
})
