/** The program: the real machine, the real arguments, the exit code. */
import { main } from './main.ts'
import { thisMachine } from './machine.ts'

process.exitCode = await main(process.argv.slice(2), thisMachine())
