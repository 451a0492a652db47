/**
 * The words that the extension's modules share. Those of the server are its JSON API's.
 *
 * @typedef {object} Request what is asked to be saved: the transfer request of the API
 * @property {string} [sourceUrl] not with route upload
 * @property {string} [name]
 * @property {string} [folderId]
 * @property {string} [driveId]
 * @property {'rename'|'replace'|'fail'} [conflictBehavior]
 * @property {'upload'} [route]
 * @property {number} [size] bytes
 * @property {string} [contentType]
 * @property {string} [pageUrl]
 * @property {string} [pageTitle]
 * @property {string} [altText]
 *
 * @typedef {object} Transfer one thing being saved, as the server tells it
 * @property {string} id
 * @property {'notStarted'|'inProgress'|'waiting'|'completed'|'failed'|'cancelled'} state
 * @property {string} route
 * @property {string} sourceUrl
 * @property {string} name
 * @property {{id: string, name: string, path: string}} folder
 * @property {number|null} percentageComplete
 * @property {number|null} bytesTransferred
 * @property {string|null} reason
 * @property {'mayArrive'|'recycled'|'kept'|null} [leftover] what a cancelled one leaves in OneDrive
 * @property {Problem|null} error
 * @property {{id: string, name: string, size: number, webUrl: string}|null} item
 * @property {string} createdDateTime
 * @property {string} lastModifiedDateTime
 *
 * @typedef {object} Problem
 * @property {string} code stable, for programs
 * @property {string} message what went wrong, for people
 * @property {string} [advice] what the person can do
 *
 * @typedef {'choosing'|'queued'|'sent'|'site'|'stuck'} Step how far an Item is:
 *   choosing: its folder is being chosen; queued: to be sent; sent: the server has it and is followed;
 *   site: the person is asked to let us see its site; stuck: given up until the person retries it
 *
 * @typedef {object} Item one click, kept in storage until the server has finished it
 * @property {string} id also the idempotency key: sending it twice saves it once
 * @property {number} created ms since 1970
 * @property {Step} step
 * @property {Request} request
 * @property {{tabId: number, frameId: number}} [from] where the click was
 * @property {string} [kind] image, link, media, page, selection or drop
 * @property {string} [batch] id shared by what was chosen together
 * @property {boolean} [bytes] the extension sends the bytes (route upload)
 * @property {{size: number, type: string}} [kept] the bytes are in the blob store
 * @property {string} [transferId] the server's id, once it has answered
 * @property {string[]} [failedIds] transfers of this item that failed and that it does better than
 * @property {number} [attempts] failed attempts in a row
 * @property {number} [due] ms since 1970: not to be tried again before
 * @property {Problem} [problem]
 *
 * @typedef {object} Server the server that this browser is connected to
 * @property {string} address origin, no slash at the end
 * @property {string} key the device's key
 * @property {{id: string, name: string}} device
 * @property {Header[]} headers
 * @property {boolean} [revoked] the server does not know the key any more
 *
 * @typedef {{name: string, value: string}} Header
 */
export {}
