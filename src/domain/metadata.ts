/** String keys to string values, as OpenStack's metadata. */
export type Metadata = Readonly<Record<string, string>>
