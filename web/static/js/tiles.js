// Which pictures a room has: tracks and members grouped into tiles. Pure.

/** @typedef {Record<string, any>} Body */
/**
 * @typedef {object} Tile
 * @property {string} key
 * @property {string} client
 * @property {string} user
 * @property {boolean} speaking as the roster says
 * @property {string} site
 * @property {string} level
 * @property {string} name of the person, or of the source where it is a camera
 * @property {string} source name of the source
 * @property {Body | null} video
 * @property {Body | null} audio
 * @property {boolean} screen
 * @property {boolean} simulated
 */

/** Whether a source is a person's page or telephone, which goes by the person's name. @param {string} source */
export const ofPerson = (source) => /^(desk|phone-)/.test(source);

const ORDER = ['mine', 'county', 'city', 'province', 'nation'];

/** Who has no level (a guest, a phone) comes last. @param {string} level */
const height = (level) => (ORDER.includes(level) ? ORDER.indexOf(level) : ORDER.length);

/** One tile for each picture; with `people` also one for each member without a picture.
 * @param {Body[]} tracks @param {Body[]} members @param {string} ownClient @param {boolean} people @param {(site: string) => string} levelOf @returns {Tile[]} */
export function tilesOf(tracks, members, ownClient, people, levelOf) {
  const persons = new Map(members.map((member) => [member.client, member.person]));
  /** @type {Map<string, Tile>} */
  const tiles = new Map();
  for (const track of tracks) {
    if (track.client === ownClient) continue;
    const screen = track.source === 'screen';
    const key = `${track.client}/${screen ? 'screen' : track.name}`;
    const person = persons.get(track.client);
    const tile = tiles.get(key) ?? {
      key,
      client: track.client,
      user: person?.user ?? '',
      speaking: false,
      site: track.site,
      level: person?.level ?? levelOf(track.site),
      name: person?.name ?? '',
      source: track.name,
      video: null,
      audio: null,
      screen,
      simulated: false,
    };
    if (track.kind === 'video') tile.video = track;
    else tile.audio = track;
    tile.simulated ||= Boolean(track.simulated);
    tile.speaking ||= Boolean(track.speaking);
    tiles.set(key, tile);
  }
  const seen = new Set([...tiles.values()].filter((tile) => !tile.screen).map((tile) => tile.client));
  for (const member of people ? members : []) {
    if (member.client === ownClient || seen.has(member.client)) continue;
    const { user, name, site, level } = member.person;
    tiles.set(member.client, { key: member.client, client: member.client, user, speaking: Boolean(member.speaking), site, level, name, source: '', video: null, audio: null, screen: false, simulated: false });
  }
  const list = people ? [...tiles.values()] : [...tiles.values()].filter((tile) => tile.video);
  return list.sort(
    (a, b) =>
      Number(b.screen) - Number(a.screen) ||
      height(a.level) - height(b.level) ||
      a.site.localeCompare(b.site) ||
      Number(b.source === 'dispatch-room') - Number(a.source === 'dispatch-room') ||
      a.source.localeCompare(b.source) ||
      a.key.localeCompare(b.key),
  );
}
