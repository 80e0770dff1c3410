/** The program: the real machine, the real arguments, the exit code. */
import { dumpNothing, homeOfUser, keepCompiled } from './start.ts'

dumpNothing()
keepCompiled(process.env, homeOfUser(process.env))
const { main } = await import('./main.ts')
const { thisMachine } = await import('./machine.ts')

// Timers of a node and of the clock keep no process alive: without this one it could end in the middle of a command.
const awake = setInterval(() => {}, 0x7fffffff)
process.exitCode = await main(process.argv.slice(2), thisMachine())
clearInterval(awake)
