import type chaiModule from 'chai'

export declare const chai: typeof chaiModule
export declare const expect: typeof chaiModule.expect
export declare const assert: typeof chaiModule.assert
