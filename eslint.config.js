/** Strict where a slip is a bug (promises, missing cases, `any`); formatting is prettier's. */
import { existsSync } from 'node:fs'

import { defineConfig } from 'eslint/config'
import tsdoc from 'eslint-plugin-tsdoc'
import tseslint from 'typescript-eslint'

// Without the foreign packages, their types are all unknown.
const interop = existsSync(new URL('interop/node_modules', import.meta.url))

export default defineConfig(
  {
    ignores: [
      '**/dist/',
      '**/node_modules/',
      'coverage/',
      'vectors/',
      '.dependency-cruiser*.cjs',
      interop ? 'interop/aegir/' : 'interop/',
      'bench/results/',
      'site/',
    ],
  },
  {
    files: ['**/*.ts', '**/*.js'],
    extends: [tseslint.configs.strictTypeChecked],
    linterOptions: { reportUnusedDisableDirectives: 'error' },
    languageOptions: {
      parserOptions: {
        project: ['tsconfig.check.json', 'interop/tsconfig.json'],
        tsconfigRootDir: import.meta.dirname,
      },
    },
    plugins: { tsdoc },
    rules: {
      'tsdoc/syntax': 'error',
      eqeqeq: 'error',
      'no-console': 'off',
      'no-restricted-syntax': [
        'error',
        { selector: 'ExportDefaultDeclaration', message: 'Named exports only.' },
        {
          selector: 'TSAsExpression > TSAsExpression[typeAnnotation.type="TSUnknownKeyword"]',
          message: 'No `as unknown as`: say how the type is known.',
        },
      ],
      '@typescript-eslint/no-unused-vars': [
        'error',
        { argsIgnorePattern: '^_', varsIgnorePattern: '^_', caughtErrorsIgnorePattern: '^_' },
      ],
      '@typescript-eslint/switch-exhaustiveness-check': [
        'error',
        { considerDefaultExhaustiveForUnions: true },
      ],
      '@typescript-eslint/consistent-type-imports': 'error',
      // A number in a message is what a number in a message should look like.
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      // `drain: () => {}` says plainly that nothing is done.
      '@typescript-eslint/no-empty-function': ['error', { allow: ['arrowFunctions', 'methods'] }],
      '@typescript-eslint/no-confusing-void-expression': [
        'error',
        { ignoreArrowShorthand: true, ignoreVoidReturningFunctions: true },
      ],
      // Narrowing does not see what a callback or an `await` changed, and types are structural here.
      '@typescript-eslint/no-unnecessary-condition': 'off',
      '@typescript-eslint/no-unsafe-class-instance-assignment': 'off',
      // An interface tells its callers what may happen later, also where today's answer is known.
      '@typescript-eslint/require-await': 'off',
    },
  },
  {
    files: ['packages/*/src/**/*.ts'],
    rules: { 'no-console': 'error' },
  },
  {
    files: ['packages/cli/src/**/*.ts'],
    rules: { 'no-console': 'off' },
  },
  {
    // Tests hand in what is wrong on purpose and look at what others hide.
    files: [
      '**/test/**/*.ts',
      '**/*.test.ts',
      '**/*.test-d.ts',
      'interop/**/*.ts',
      'bench/**/*.ts',
    ],
    rules: {
      '@typescript-eslint/no-non-null-assertion': 'off',
      '@typescript-eslint/no-unsafe-argument': 'off',
      '@typescript-eslint/no-unsafe-assignment': 'off',
      '@typescript-eslint/no-unsafe-member-access': 'off',
      '@typescript-eslint/no-empty-function': 'off',
      '@typescript-eslint/no-extraneous-class': 'off',
      '@typescript-eslint/unbound-method': 'off',
      '@typescript-eslint/only-throw-error': 'off',
      '@typescript-eslint/no-floating-promises': ['error', { ignoreVoid: true }],
      'no-restricted-syntax': 'off',
      'tsdoc/syntax': 'off',
    },
  },
  {
    files: ['**/*.js'],
    extends: [tseslint.configs.disableTypeChecked],
    rules: { 'tsdoc/syntax': 'off' },
  },
  {
    // Tools outside the packages' own rules: default exports are what these ask for.
    files: ['*.config.ts', '*.config.js', 'vitest.*.ts'],
    rules: { 'no-restricted-syntax': 'off' },
  },
)
