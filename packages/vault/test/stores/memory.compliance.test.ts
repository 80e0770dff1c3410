import { MemoryStore } from '../../src/stores/memory.ts'
import { storeCompliance } from './store-compliance.ts'

storeCompliance('memory', { setup: () => new MemoryStore() })
