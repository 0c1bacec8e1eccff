import { chat } from "../i18n/zh-CN/chat";
import { common } from "../i18n/zh-CN/common";

export const words = { ...common, ...chat };
